import LigerLosses
import LigerRuntime
import Testing
import Tile

/// Sums that no operation of the catalogue launches.
@Suite struct RewardSumsTests {
    @Test(arguments: [1, 7, 70]) func agreeWithTheCPU(count: Int) throws {
        let rewards = try NDArray((0..<2 * count).map { Float($0 * $0 % 31) / 7 - 2 })
        let preferences = try NDArray(integers: (0..<2 * count).map { $0 % 3 % 2 }, dtype: .i32)
        let labels = try NDArray(integers: (0..<2 * count).map { $0 % 5 }, [2 * count, 1])
        let head = LinearHead(
            input: rewards.reshaped([2 * count, 1]), weight: try NDArray([1, -1, 2, 0, 0.5], [5, 1]))
        try LaunchObservation.with(EmulatedLaunch()) {
            _ = try RewardSums.ofPairs(rewards)
            _ = try RewardSums.ofAnswers(rewards, preferences: preferences)
            _ = try FusedLinearKTO.divergence(
                head: head, labels: labels, reference: .logProbabilities(rewards))
        }
    }
}
