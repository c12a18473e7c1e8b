import FakeCUDA
import LigerLosses
import LigerRuntime
import Testing

extension FakeCUDATests {
    /// What the logits of a chunk may take where a loss has units that it cannot part.
    @Suite struct LossBudgets {
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
    }
}
