internal import LigerModels
package import LigerNN
internal import LigerRuntime
internal import LigerText
internal import Tile

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// The model to train and the tokenizer that belongs to it.
package struct TrainingModel {
    private let model: CausalLanguageModel
    private let tokenizer: any Tokenizer
    /// What `--model` said.
    package let name: String
    /// How text becomes tokens, in words.
    package let tokenizerName: String

    /// A preset with weights that depend on the seed alone, or the model of a folder.
    /// - Parameters:
    ///   - vocabularySize: replaces a preset's; text still uses the tokenizer's tokens only.
    /// - Throws: `CheckpointError` or `TokenizerError` when the model or its tokenizer is unknown, damaged
    ///   or not supported; `TrainerError` (`vocabularyMismatch`) when the two do not fit together;
    ///   `RuntimeError` when memory runs out.
    package init(_ options: TrainingOptions, vocabularySize: Int? = nil) throws {
        name = options.model
        let kernels = KernelChoice(options.kernels)
        switch try ModelSource(options.model) {
        case .preset(let preset):
            tokenizer = ByteTokenizer()
            tokenizerName = "bytes"
            var configuration = preset.configuration
            if let vocabularySize { configuration.vocabularySize = vocabularySize }
            try Self.checkVocabulary(tokenizer, tokenizerName, configuration)
            model = try CausalLanguageModel(configuration, dtype: options.dtype, kernels: kernels)
            try model.decoder.initialise(seed: options.seed)
        case .folder(let url):
            if let vocabularySize {
                throw TrainerError(
                    .vocabularyMismatch,
                    "A vocabulary of \(vocabularySize) was asked for, but \(options.model) has its own.",
                    remedy: "Use a preset with --vocabulary, or leave it out.")
            }
            let file = url.appendingPathComponent("tokenizer.json").path
            let hasTokenizer = FileManager.default.fileExists(atPath: file)
            tokenizer = hasTokenizer ? try Tokenizers.load(directory: url) : ByteTokenizer()
            tokenizerName = hasTokenizer ? file : "bytes, for the folder has no tokenizer.json"
            try Self.checkVocabulary(tokenizer, tokenizerName, ModelConfiguration(folder: url))
            model = try CausalLanguageModel(folder: url, dtype: options.dtype, kernels: kernels)
        }
    }

    private static func checkVocabulary(
        _ tokenizer: any Tokenizer, _ name: String, _ configuration: ModelConfiguration
    ) throws {
        guard tokenizer.vocabularySize > configuration.vocabularySize else { return }
        throw TrainerError(
            .vocabularyMismatch,
            "The tokenizer (\(name)) has \(Format.integer(tokenizer.vocabularySize)) tokens, the model only "
                + "\(Format.integer(configuration.vocabularySize)).",
            remedy: "Give a model whose vocab_size holds the tokenizer's, or its own tokenizer.json.")
    }

    package var decoder: Decoder { model.decoder }
    package var vocabularySize: Int { model.configuration.vocabularySize }
    package var parameterCount: Int { model.configuration.parameterCount }

    /// All tokens of a text; each document ends with the tokenizer's end of text, if it has one.
    package func tokens(of corpus: Corpus) -> [Int32] {
        TokenStream.tokens(of: corpus, separator: tokenizer.endOfTextID.map { [$0] } ?? []) {
            tokenizer.encode($0)
        }
    }

    /// Checks that sequences are not longer than the model's positions.
    /// - Throws: `TrainerError` (`invalidOptions`).
    package func checkLength(_ sequenceLength: Int) throws {
        let most = model.configuration.maximumPositions
        guard sequenceLength > most else { return }
        throw TrainerError(
            .invalidOptions, "--seq is \(sequenceLength), but the model \(name) has \(most) positions.",
            remedy: "Use --seq \(most) or less.")
    }

    /// Writes configuration, weights and the tokenizer's files into an existing folder.
    package func write(into folder: String) throws {
        try model.write(into: URL(fileURLWithPath: folder, isDirectory: true))
    }

    /// Replaces the weights by those of a folder that `write` made, bit for bit.
    /// - Throws: `CheckpointError` when they are damaged, or not those of this model in its own type.
    package func readWeights(from folder: String) throws {
        let weights = try Checkpoint(url: URL(fileURLWithPath: folder, isDirectory: true))
        let expected = StoredType(model.dtype)
        for (name, entry) in weights.tensors.sorted(by: { $0.key < $1.key })
        where entry.storedType != expected {
            throw CheckpointError(
                folder, "tensor '\(name)'", found: "element type \(entry.storedType.rawValue)",
                expected: expected.rawValue,
                advice:
                    "Somebody changed the file; remove this checkpoint's folder to resume from the one before."
            )
        }
        try model.loadWeights(from: weights)
    }
}

extension TrainingOptions {
    /// Whether `--model` names a preset rather than a folder.
    public var usesPreset: Bool { ModelPreset(rawValue: model) != nil }
}

extension KernelChoice {
    /// The same switches, for the model.
    package init(_ selection: KernelSelection) {
        self = .reference
        rope = selection[.rope]
        rmsNorm = selection[.rmsNorm]
        swiGLU = selection[.swiGLU]
        crossEntropy = selection[.crossEntropy]
        fusedLinearCrossEntropy = selection[.fusedLinearCrossEntropy]
    }
}
