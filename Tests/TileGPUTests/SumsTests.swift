import LigerKernels
import LigerLosses
import LigerRuntime
import Testing
import Tile

/// Sums that no operation of the catalogue launches.
@Suite struct SumsTests {
    /// Rows and columns, from a column on: contiguous and aligned, and not; with columns of the last program missing.
    @Test(
        arguments: [(300, 40, 0), (70, 16, 1), (1024, 8, 0), (300, 41, 0), (40, 7, 0)], [DType.f32, .bf16])
    func ofColumns(shape: (rows: Int, columns: Int, from: Int), dtype: DType) throws {
        let count = shape.rows * (shape.columns + shape.from)
        let whole = try Cast.apply(
            try NDArray((0..<count).map { Float($0 * 7 % 61) / 8 - 3 }), to: dtype
        ).reshaped([shape.rows, shape.columns + shape.from])
        let x = whole.sliced(1, shape.from..<(shape.from + shape.columns))
        try LaunchObservation.with(EmulatedLaunch()) {
            _ = try ColumnSum.apply([(x, .f32), (x, dtype)])
            try ColumnSum.apply(x, into: try NDArray.zeros([shape.columns]), accumulate: true)
        }
    }

    @Test(arguments: [1, 7, 70]) func ofRewards(count: Int) throws {
        let rewards = try NDArray((0..<2 * count).map { Float($0 * $0 % 31) / 7 - 2 })
        let preferences = try NDArray(integers: (0..<2 * count).map { $0 % 3 % 2 }, dtype: .i32)
        let labels = try NDArray(integers: (0..<2 * count).map { $0 % 5 }, [2 * count, 1])
        let head = LinearHead(
            input: rewards.reshaped([2 * count, 1]), weight: try NDArray([1, -1, 2, 0, 0.5], [5, 1]))
        try LaunchObservation.with(EmulatedLaunch()) {
            _ = try RewardSums.ofPairs(rewards)
            _ = try RewardSums.ofAnswers(
                rewards, preferences: preferences, divergence: NDArray([0.5]))
            _ = try FusedLinearKTO.divergence(
                head: head, labels: labels, reference: .logProbabilities(rewards))
        }
    }
}
