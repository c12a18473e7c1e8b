package import LigerNN
import LigerRuntime
import LigerText
package import Platform

extension CausalLanguageModel {
    /// Freezes the weights and adds new adapters, which change nothing at first.
    ///
    /// - Parameter seed: decides their start, and what dropout drops.
    /// - Throws: `CheckpointError` for a target that no layer has, with the names there are, or that cannot have these
    ///   options.
    package func adapt(_ options: LowRankOptions, seed: UInt64) throws {
        try decoder.requireTargets(options)
        decoder.adapt(options, seed: seed)
        try decoder.allocateAdapters(on: decoder.embedding.weight.device)
        try decoder.initialiseAdapters(seed: seed)
    }

    /// Freezes the weights and adds the adapters of a folder.
    ///
    /// - Throws: `CheckpointError` when they are damaged or another model's.
    package func adapt(_ folder: AdapterFolder, seed: UInt64) throws {
        try adapt(folder.options, seed: seed)
        guard let adapters = decoder.adapters else { return }
        try folder.read(into: adapters)
    }

    /// Takes the tokenizer's files and the chat template of a folder in the place of those that came with the weights: an
    /// adapter was trained with its own.
    package func takeCompanions(of folder: URL) throws {
        CompanionFiles.replace(&companions, by: try CompanionFiles.read(from: folder))
    }

    /// Takes a chat template in the place of those that came with the weights.
    package func takeChatTemplate(_ text: String) {
        CompanionFiles.replace(&companions, by: ["chat_template.jinja": Array(text.utf8)])
    }

    /// Writes the adapters as PEFT would, and the tokenizer's files, into an existing folder.
    ///
    /// - Parameters:
    ///   - base: where the weights came from.
    ///   - team: as `write`.
    package func writeAdapter(
        base: String?, into folder: URL, with team: any FileTeam = LoneWriter()
    ) throws {
        guard let adapters = decoder.adapters else { preconditionFailure("adapters to write") }
        try AdapterFolder.write(adapters, base: base, into: folder, with: team)
        guard team.isFirst else { return }
        try CompanionFiles.write(companions, into: folder)
    }
}

extension Decoder {
    /// - Throws: `CheckpointError` for a target that no layer has, with the names there are, or that cannot have these
    ///   options.
    package func requireTargets(_ options: LowRankOptions) throws {
        if let hindrance = hindrance(to: options) {
            throw CheckpointError(
                "the adapter", "its targets", found: hindrance, expected: "an adapter that PEFT can load",
                advice: "Leave the option out, or name other targets.")
        }
        let unknown = unknown(options.targets)
        guard !unknown.isEmpty else { return }
        let names = Set(adaptableLayers.map { $0.split(separator: ".").last ?? "" }).sorted()
        throw CheckpointError(
            "the model", "layers to adapt",
            found: "the model has no layer \(unknown.map(\.quoted).joined(separator: ", "))",
            expected: "names of its linear layers",
            advice:
                "Give names of its linear layers, \(names.joined(separator: ", ")), or all-linear for all of them. The "
                + "embedding and the head stay as they are"
                + (expertSizes.isEmpty
                    ? "."
                    : ". The matrices of all experts of a layer are experts.gate_up_proj and experts.down_proj; PEFT takes "
                        + "gate_proj, up_proj and down_proj for parts of these, so other feed-forward layers stay too.")
        )
    }
}
