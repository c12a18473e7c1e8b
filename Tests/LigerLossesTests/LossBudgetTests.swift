import FakeCUDA
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// What the logits of a chunk may take where a loss has units that it cannot part.
@Suite(.onFakeGPU) struct LossBudgetTests {
    @Test func growsWithAUnitUpToAShareOfTheMemory() throws {
        let device = try makeFakeDevice(memory: 64 << 30)
        let options = SequenceOptions()
        for (unit, budget) in [
            (1, 640 << 20), (641 << 20, 641 << 20), (2 << 30, 2 << 30), ((2 << 30) + 1, 640 << 20),
        ] {
            #expect(options.budgetBytes(on: device, unitBytes: unit) == budget)
        }
    }

    @Test func isWhatWasGiven() throws {
        let device = try makeFakeDevice(memory: 64 << 30)
        #expect(SequenceOptions(budgetBytes: 5).budgetBytes(on: device, unitBytes: 1 << 30) == 5)
    }

    @Test func isTheProcessorsThere() {
        #expect(SequenceOptions().budgetBytes(on: .cpu, unitBytes: 1 << 30) == 48 << 20)
    }

    /// A pair's logits of 0.7 GB: more than the budget, and than a 32nd of 16 GiB.
    @Test(arguments: [(16, false), (64, true)]) func longPairsAreMadeOnceWhereThereIsRoom(
        gibibytes: Int, once: Bool
    ) throws {
        let device = try makeFakeDevice(memory: gibibytes << 30)
        let (vocabulary, length) = (1 << 20, 172)
        let x = try NDArray.zeros([2 * length, 1], dtype: .bf16, device: device)
        let w = try NDArray.zeros([vocabulary, 1], dtype: .bf16, device: device)
        let labels = try NDArray.zeros([2 * length], dtype: .i64, device: device)
        let scorer = try SequenceScorer(
            LinearHead(input: x, weight: w), labels: labels, SequenceOptions())
        let pair = SequenceScorer.Units(count: 1, sequences: 2, length: length)
        #expect(scorer.makesLogitsOnce(pair, needs: .all) == once)
        #expect(!scorer.makesLogitsOnce(pair, needs: []))
    }
}
