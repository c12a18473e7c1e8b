package import LigerNN
import LigerText

/// Mistral (Jiang and others, 2023): the layers of Llama, each with a window, other defaults.
package struct Mistral: Architecture {
    package static let modelType = "mistral"
    package static let className = "MistralForCausalLM"

    package var decoder: DecoderConfiguration

    package init(_ decoder: DecoderConfiguration) { self.decoder = decoder }

    package mutating func visit(_ keys: inout ConfigurationKeys) {
        decoder.visit(&keys, defaults: .init(keyValueHeads: 8, positions: 131_072))
        keys.window(&decoder.window, default: 4096)
    }

    package func layers(_ scope: ParameterScope) -> Decoder { Llama(decoder).layers(scope) }
}
