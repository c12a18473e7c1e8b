package import LigerNN

/// A family of decoders, with the sizes and constants of one of them.
///
/// A family is one file here and one line in `Architectures`. The file says which keys of `config.json` it has and
/// how its layers are put together. All else follows: names and shapes of weights, what a checkpoint must hold, and
/// the memory that training takes.
package protocol Architecture: Sendable, Hashable {
    /// `model_type` of `config.json`.
    static var modelType: String { get }
    /// The class of transformers that loads it.
    static var className: String { get }
    /// What all decoders have.
    var decoder: DecoderConfiguration { get set }

    /// These sizes, with what only this family has at its default.
    init(_ decoder: DecoderConfiguration)

    /// Reads every key of the family, or writes it, and checks it.
    mutating func visit(_ keys: inout ConfigurationKeys)

    /// Keys of dropouts that transformers applies in training, and this package does not.
    var unappliedDropouts: [String] { get }

    /// The layers, whose parameters are made within the scope.
    func layers(_ scope: ParameterScope) -> Decoder
}

/// The families there are.
package enum Architectures {
    /// A line each.
    package static let all: [any Architecture.Type] = [
        Llama.self,
        Mistral.self,
        Gemma.self,
        Gemma2.self,
        Gemma3.self,
        GLM4.self,
        GPT2.self,
        Granite.self,
        OLMo2.self,
        Mixtral.self,
        Phi3.self,
        Qwen2.self,
        Qwen3.self,
        Qwen3MoE.self,
        SmolLM3.self,
    ]
}

extension Architecture {
    /// That of most families' attention.
    package var unappliedDropouts: [String] { decoder.attentionDropout > 0 ? ["attention_dropout"] : [] }

    /// Equality beyond the type that is known where it is asked for.
    func isEqual(to other: any Architecture) -> Bool { other as? Self == self }
}
