import LigerCatalogue
import LigerRuntime
import Testing
import Tile

@Suite struct VerificationTests {
    /// What `liger verify` prints, but for the longest rows.
    @Test(arguments: Catalogue.entries.map(\.name), [DType.f32, .bf16, .f16])
    func everyOperationMatchesItsReference(operation: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(operation))
        if entry.refusal(dtype, .cpu) != nil { return }
        let columns = Set(Verification.grid.map(\.columns).filter { $0 <= 1025 })
        let worst = try Verification.worst(of: entry, dtype: dtype, seed: 1, columns: columns)
        #expect(worst.result.passes, "\(worst)")
    }

    @Test func lastRowsOfAWholeAreThoseAlone() throws {
        var operations: [String] = []
        try Verification.large(on: .cpu, rows: 40) { result in
            #expect(result.differing.isEmpty, "\(result.operation)")
            operations.append(result.operation)
        }
        #expect(operations == ["RMSNorm", "SwiGLU", "Softmax", "CrossEntropy", "Embedding"])
    }

    /// A result without an error of its own must not hide one that fails.
    @Test(arguments: [0.0, 1]) func theWorstIsWhatFails(bound: Double) throws {
        let entry = CatalogueEntry(
            name: "X", summary: "", workload: nil,
            check: { point in
                [
                    CheckResult(quantity: "exact", error: 0, bound: bound),
                    CheckResult(quantity: "wrong", error: point.rows == 5 ? .nan : 0.5, bound: 1),
                ]
            })
        let worst = try Verification.worst(of: entry, dtype: .f32, seed: 1)
        #expect(worst.result.quantity == "wrong" && !worst.result.passes && worst.point.rows == 5)
    }

    @Test func repetitionsGiveTheSameBits() throws {
        for (operation, differing) in try Verification.repetitions(3, on: .cpu) {
            #expect(differing == 0, "\(operation)")
        }
    }
}
