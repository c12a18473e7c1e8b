import LigerCatalogue
import LigerLosses
import LigerRuntime
import Testing
import Tile
import TileEmulator
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

    /// What a GPU of AMD's has: waves of 64, no clusters, no copies on their way.
    private static let wavesOf64 = GPULimits(
        sharedBytes: 64 << 10, warpThreads: 64, hasClusters: false, copiesAsynchronously: false,
        multiplies: false)

    @Test(arguments: Catalogue.entries.map(\.name), [DType.f32, .bf16])
    func agreesWithTheCPUInWavesOf64(operation: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(limits: Self.wavesOf64)
        for (i, size) in grid.enumerated() {
            let point = CheckCase(rows: size.rows, columns: size.columns, dtype: dtype, seed: UInt64(i))
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }

    /// Less than a wave, one, two and three, whose results travel through shared memory.
    @Test(arguments: ["CrossEntropy", "Softmax", "RMSNorm", "LayerNorm"], [32, 64, 128, 192])
    func foldsWavesOf64(operation: String, threads: Int) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(
            schedule: { function, layouts in
                let vector = GPUSchedule(function, layouts: layouts, warp: 64).vector
                return GPUSchedule(
                    threads: threads, programsPerBlock: threads < 64 ? 2 : 1, vector: vector,
                    residentLanes: vector)
            }, limits: Self.wavesOf64)
        for columns in [33, 520, 1100] {
            let point = CheckCase(rows: 3, columns: columns, dtype: .bf16, seed: 5)
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }

    private struct RowSums: TileKernel {
        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1), c = p.range(128)
            y[p.index] = sum(x[p.index, c])
        }
    }

    /// A program that was planned for waves of 64, on a GPU with warps of 32.
    @Test func exchangesNothingBeyondAWarp() throws {
        let function = try TileFunction.trace(RowSums())
        let x = try NDArray.zeros([1, 128]), y = try NDArray.zeros([1])
        var threads = try ThreadFunction(
            GPUPlan(
                function, layouts: [x, y].map(\.view).gpuLayouts,
                schedule: GPUSchedule(threads: 64, programsPerBlock: 1, vector: 2), limits: Self.wavesOf64))
        let arrays = [x, y].map {
            EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
        }
        _ = try Emulator.run(threads, programs: 1, arrays: arrays, scalars: [])
        threads.warpThreads = 32
        #expect(throws: EmulationError.self) {
            _ = try Emulator.run(threads, programs: 1, arrays: arrays, scalars: [])
        }
    }

    /// What a schedule asks for and a GPU lacks is refused before anything is written.
    @Test(arguments: [
        (GPUSchedule(threads: 256, blocks: 2, programsPerBlock: 1, vector: 2), "cluster"),
        (GPUSchedule(threads: 96, programsPerBlock: 1, vector: 2), "whole warps"),
    ])
    func refusesWhatTheGPULacks(schedule: GPUSchedule, why: String) throws {
        let function = try TileFunction.trace(RowSums())
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        }
        let error = #expect(throws: LoweringError.self) {
            _ = try GPUPlan(function, layouts: layouts, schedule: schedule, limits: Self.wavesOf64)
        }
        #expect(error?.description.contains(why) == true)
    }

    /// The gradients of logits in 16 bits, which only a GPU has, scaled in f16.
    @Test(
        arguments: Catalogue.entries.map(\.name).filter {
            $0.hasPrefix("FusedLinear") || $0 == "LinearLogits"
        },
        [DType.bf16, .f16])
    func agreesWithTheCPUOnRoundedLogits(operation: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(operation))
        for (rows, columns) in [(5, 3), (3, 33), (2, 512), (2, 1000)] {
            let point = CheckCase(rows: rows, columns: columns, dtype: dtype, seed: 7)
            try LogitStorage.$isAsOnGPU.withValue(true) {
                try LaunchObservation.with(EmulatedLaunch()) { _ = try entry.check(point) }
            }
        }
    }

    /// Few threads and few registers force chunks, and kept tiles in shared and local memory.
    @Test(arguments: Catalogue.entries.map(\.name), [1, 4, 32, 64])
    func worksInChunks(operation: String, threads: Int) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(schedule: { function, layouts in
            let rule = GPUSchedule(function, layouts: layouts)
            return GPUSchedule(
                threads: threads, programsPerBlock: threads < 32 ? 32 / threads : 1, vector: rule.vector,
                residentLanes: rule.vector, chunkVectors: 2)
        })
        for columns in [33, 64, 520] {
            let point = CheckCase(rows: 3, columns: columns, dtype: .bf16, seed: 5)
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }

    /// Rows of a loop are staged, fewer than a program has and more; whole and in part.
    @Test(
        arguments: ["RMSNorm", "FusedAddRMSNorm", "LayerNorm", "DyT", "GroupNorm", "Attention"], [2, 3, 5])
    func stagesRowsOfLoops(operation: String, stages: Int) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(schedule: { function, layouts in
            let vector = GPUSchedule(function, layouts: layouts).vector
            return GPUSchedule(
                threads: 64, programsPerBlock: 1, vector: vector, residentLanes: 4 * vector, stages: stages)
        })
        for (rows, columns) in [(70, 64), (7, 512), (200, 1000)] {
            let point = CheckCase(rows: rows, columns: columns, dtype: .bf16, seed: 5)
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }

    /// Rows picked by the counter and by an index that each iteration changes: no earlier one knows them.
    private struct AlternatingRows: TileKernel {
        let columns: Int

        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 3), y = p.output("y", .f32, rank: 1), c = p.range(columns)
            let first = x.size(1) * 0
            let total = p.loop(from: first, to: x.size(0), carrying: first, p.full(c, 0)) { row, plane, sum in
                (x.size(1) - 1 - plane, sum + x[row, plane, c])
            }
            y[c] = total.1
        }
    }

    @Test func stagesNoRowThatAnIterationPicks() throws {
        let x = try NDArray((0..<5 * 2 * 256).map { Float($0 * 7 % 61) }).reshaped([5, 2, 256])
        let y = try NDArray(empty: [256])
        let observer = EmulatedLaunch(schedule: { _, _ in
            GPUSchedule(threads: 64, programsPerBlock: 1, vector: 4, residentLanes: 16, stages: 3)
        })
        try LaunchObservation.with(observer) {
            try AlternatingRows(columns: 256).launch(programs: 1, ["x": x, "y": y])
        }
    }

    /// In registers; in chunks, with what must be kept in every block's shared memory.
    @Test(arguments: Catalogue.entries.map(\.name), [64, 1])
    func sharesAProgramAmongBlocks(operation: String, lanes: Int) throws {
        for blocks in [2, 3] {
            try share(operation, among: blocks, threads: 32, lanes: lanes, columns: [33, 520])
        }
    }

    /// Rows are prefetched into the shared memory of one block and of the blocks of a cluster: whole chunks and part of
    /// one, all of a row and its beginning.
    @Test(arguments: Catalogue.entries.map(\.name), [(1, 2), (2, 2), (1, 1), (2, 1)])
    func prefetchesRows(operation: String, among: (blocks: Int, chunks: Int)) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(schedule: { function, layouts in
            let vector = GPUSchedule(function, layouts: layouts).vector
            return GPUSchedule(
                threads: 64 * among.blocks, blocks: among.blocks, programsPerBlock: 1, vector: vector,
                residentLanes: vector, chunkVectors: 2, prefetchedChunks: among.chunks)
        })
        for columns in [520, 3600] {
            let point = CheckCase(rows: 2, columns: columns, dtype: .bf16, seed: 5)
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }

    /// More warps than a warp has lanes, and two results of a reduction.
    @Test(arguments: ["CrossEntropy", "Softmax"])
    func foldsMoreWarpsThanLanes(operation: String) throws {
        try share(operation, among: 2, threads: 544, lanes: 8, columns: [1100])
    }

    private func share(
        _ operation: String, among blocks: Int, threads: Int, lanes: Int, columns: [Int]
    ) throws {
        let entry = try #require(Catalogue.entry(operation))
        let observer = EmulatedLaunch(schedule: { function, layouts in
            let vector = GPUSchedule(function, layouts: layouts).vector
            return GPUSchedule(
                threads: blocks * threads, blocks: blocks, programsPerBlock: 1, vector: vector,
                residentLanes: lanes * vector, chunkVectors: 2)
        })
        for columns in columns {
            let point = CheckCase(rows: 2, columns: columns, dtype: .bf16, seed: 5)
            try LaunchObservation.with(observer) { _ = try entry.check(point) }
        }
    }
}
