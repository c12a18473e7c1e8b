import LigerCatalogue
import LigerLosses
import LigerRuntime
import Testing
import Tile
import TileGPU

// Rows of part of a vector, of some vectors, of one warp, of several, and of more lanes than a block's
// registers hold under the schedules below.
private let grid: [(rows: Int, columns: Int)] = [
    (1, 1), (3, 2), (5, 3), (9, 16), (3, 33), (5, 64), (4, 128), (2, 129), (3, 512), (2, 1000), (1, 2050),
]

@Suite struct EmulatorTests {
    @Test(arguments: Catalogue.entries.map(\.name), [DType.f32, .bf16, .f16])
    func agreesWithTheCPU(operation: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(operation))
        for (i, size) in grid.enumerated() {
            let point = CheckCase(rows: size.rows, columns: size.columns, dtype: dtype, seed: UInt64(i))
            try LaunchObservation.with(EmulatedLaunch()) { _ = try entry.check(point) }
        }
    }

    /// Few threads and few registers force sweeps in chunks and rows in shared memory.
    @Test(arguments: Catalogue.entries.map(\.name), [1, 4, 32, 64])
    func sweepsInChunks(operation: String, threads: Int) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(schedule: { function in
            let rule = GPUSchedule(function, layouts: [])
            return GPUSchedule(
                threads: threads, programsPerBlock: threads < 32 ? 32 / threads : 1, vector: rule.vector,
                residentLanes: rule.vector, chunkVectors: 2)
        })
        for columns in [33, 64, 520] {
            let point = CheckCase(rows: 3, columns: columns, dtype: .bf16, seed: 5)
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }

    /// Sums that no operation of the catalogue launches.
    @Test(arguments: [1, 7, 70]) func sumsOfRewardsAgree(count: Int) throws {
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
