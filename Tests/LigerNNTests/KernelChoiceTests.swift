import LigerNN
import Testing

@Suite struct KernelChoiceTests {
    @Test func readsWhatItWrites() throws {
        for text in [
            "liger", "reference", "liger-rope", "liger-rmsNorm-fusedLinearCrossEntropy",
            "reference+swiGLU+crossEntropy",
        ] {
            #expect(try KernelChoice(parsing: text).description == text)
        }
        #expect(try KernelChoice(parsing: "liger+rope-rope+rope") == .liger)
        var choice = KernelChoice.liger
        choice.rope = false
        #expect(try KernelChoice(parsing: "liger-rope") == choice)
    }

    @Test(arguments: ["", "triton", "liger-", "liger-rop", "liger--rope", "ligerrope", "-rope"])
    func refusesWhatItDoesNotKnow(text: String) {
        #expect(throws: (any Error).self) { try KernelChoice(parsing: text) }
    }
}
