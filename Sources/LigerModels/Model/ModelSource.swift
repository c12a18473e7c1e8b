public import LigerNN
public import LigerRuntime
import LigerText
public import Platform
public import Tile

/// Where a model comes from: a preset with new weights, or a folder in Hugging Face layout.
public enum ModelSource: Sendable, Hashable {
    /// A model by name, with new weights.
    case preset(ModelPreset)
    /// `config.json`, weights and perhaps a tokenizer.
    case folder(URL)

    /// What a user means by `--model TEXT`: the preset of this name, else the folder. A folder that is
    /// named like a preset is meant by `./name`.
    ///
    /// - Throws: `CheckpointError` that lists the presets if it is neither.
    public init(_ text: String) throws {
        if let preset = ModelPreset(rawValue: text) {
            self = .preset(preset)
            return
        }
        var isFolder = false
        let exists = !text.isEmpty && FileManager.default.fileExists(atPath: text, isDirectory: &isFolder)
        guard exists, isFolder else {
            let presets = ModelPreset.allCases.map(\.rawValue).joined(separator: ", ")
            throw CheckpointError(
                text.quoted, "the model",
                found: exists ? "a file" : "neither a preset nor a folder of this name",
                expected: "one of the presets \(presets), or a folder with config.json and model.safetensors",
                advice: (text.contains("/") ? "Nothing is fetched from the Hub. " : "")
                    + "Name a preset, or the path of a folder that transformers' save_pretrained wrote.")
        }
        self = .folder(URL(literalPath: text, isFolder: true))
    }

    /// The folder; nil for a preset.
    package var folder: URL? {
        if case .folder(let url) = self { url } else { nil }
    }

    /// The model: with random weights that depend on `seed` alone, or with those of the folder.
    ///
    /// - Throws: as `CausalLanguageModel`'s initialisers.
    public func model(
        seed: UInt64, dtype: DType? = nil, kernels: KernelSelection = .liger, device: Device = .cpu
    ) throws -> CausalLanguageModel {
        switch self {
        case .preset(let preset):
            let model = try CausalLanguageModel(
                preset.configuration, dtype: dtype, kernels: kernels, device: device)
            try model.decoder.initialise(seed: seed)
            return model
        case .folder(let url):
            return try CausalLanguageModel(folder: url, dtype: dtype, kernels: kernels, device: device)
        }
    }
}
