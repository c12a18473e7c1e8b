import LigerCatalogue
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Operations that only some devices have.
@Suite(.onFakeGPU) struct AlternativesTests {
    /// What `liger verify` runs: every quantity of every shape, and no other result in their place.
    @Test(arguments: [(1, 1), (3, 2), (5, 3), (37, 15), (8, 16), (2, 512)])
    func flashAttentionStandsBesideAttention(rows: Int, columns: Int) throws {
        let device = try makeFakeDevice(cudnn: true)
        let attention = try #require(Catalogue.entry("Attention"))
        let entries = Catalogue.withAlternatives([attention], on: device)
        #expect(entries.map(\.name) == ["Attention", "FlashAttention"])
        #expect(Catalogue.withAlternatives([attention], on: .cpu).count == 1)
        let flash = entries[1]
        #expect(flash.refusal(.bf16, device) == nil)
        #expect(flash.refusal(.f32, device)?.contains("not f32") == true)
        let results = try flash.check(
            CheckCase(rows: rows, columns: columns, dtype: .bf16, seed: 5, device: device))
        #expect(results.count == (rows == 1 ? 1 : 5) && results.allSatisfy(\.passes), "\(results)")
        #expect(rows == 1 || results.allSatisfy { $0.error > 0 })
    }
}
