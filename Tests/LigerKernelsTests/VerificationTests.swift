import LigerCatalogue
import LigerRuntime
import Testing

@Suite struct VerificationTests {
    @Test func lastRowsOfAWholeAreThoseAlone() throws {
        var operations: [String] = []
        try Verification.large(on: .cpu, rows: 40) { result in
            #expect(result.differing.isEmpty, "\(result.operation)")
            operations.append(result.operation)
        }
        #expect(operations == ["RMSNorm", "SwiGLU", "Softmax", "CrossEntropy", "Embedding"])
    }

    @Test func repetitionsGiveTheSameBits() throws {
        for (operation, differing) in try Verification.repetitions(3, on: .cpu) {
            #expect(differing == 0, "\(operation)")
        }
    }
}
