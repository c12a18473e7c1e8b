import LigerModels
import LigerNN
import Testing

@Suite("Architectures")
struct ArchitectureTests {
    private static let sizes = DecoderConfiguration(
        hiddenSize: 64, intermediateSize: 96, layerCount: 1, headCount: 4, keyValueHeadCount: 2,
        headSize: 20,
        vocabularySize: 128)

    @Test("Every family is listed once, under its own name and class")
    func registry() {
        let names = Architectures.all.map { $0.modelType }
        let classes = Architectures.all.map { $0.className }
        #expect(Set(names).count == names.count && Set(classes).count == classes.count)
        #expect(names.starts(with: ["llama", "mistral"]))
    }

    @Test("Llama's parameters have the names, shapes and order of Hugging Face's checkpoints")
    func llama() throws {
        var llama = Llama(Self.sizes)
        (llama.attentionBias, llama.feedForwardBias) = (true, true)
        let parameters = ModelConfiguration(llama).layers().parameters
        let block = [
            ("input_layernorm.weight", [64]), ("self_attn.q_proj.weight", [80, 64]),
            ("self_attn.q_proj.bias", [80]), ("self_attn.k_proj.weight", [40, 64]),
            ("self_attn.k_proj.bias", [40]), ("self_attn.v_proj.weight", [40, 64]),
            ("self_attn.v_proj.bias", [40]), ("self_attn.o_proj.weight", [64, 80]),
            ("self_attn.o_proj.bias", [64]), ("post_attention_layernorm.weight", [64]),
            ("mlp.gate_proj.weight", [96, 64]), ("mlp.gate_proj.bias", [96]),
            ("mlp.up_proj.weight", [96, 64]), ("mlp.up_proj.bias", [96]),
            ("mlp.down_proj.weight", [64, 96]), ("mlp.down_proj.bias", [64]),
        ]
        let expected =
            [("model.embed_tokens.weight", [128, 64])] + block.map { ("model.layers.0." + $0, $1) }
            + [("model.norm.weight", [64]), ("lm_head.weight", [128, 64])]
        #expect(parameters.map(\.name) == expected.map(\.0))
        #expect(parameters.map(\.shape) == expected.map(\.1))
        #expect(parameters.filter { !$0.decays }.allSatisfy { $0.shape.count == 1 })
        llama.decoder.tiesWordEmbeddings = true
        #expect(!ModelConfiguration(llama).layers().parameters.contains { $0.name == "lm_head.weight" })
    }
}
