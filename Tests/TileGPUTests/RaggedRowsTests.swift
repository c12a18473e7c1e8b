import LigerRuntime
import TestSupport
import Testing
import Tile
import TileEmulator
import TileGPU

/// Rows whose length is no multiple of a vector, and rows that start at any address.
@Suite struct RaggedRowsTests {
    /// w e^(x - max(x)) / Σe^(x - max(x)) + a little of the lane's number, and where the largest is: each lane counts, and its
    /// number.
    private struct Spread: TileKernel {
        let columns: Int
        let dtype: DType
        var weight = DType.f32
        let inPlace: Bool

        func body(_ p: Program) {
            let x = inPlace ? p.update("x", dtype, rank: 2) : p.input("x", dtype, rank: 2)
            let y = inPlace ? x : p.output("y", dtype, rank: 2)
            let w = p.input("w", weight, rank: 1), best = p.output("best", .f32, rank: 1)
            let row = p.index, c = p.range(columns), v = x[row, c]
            let (m, s) = maxAndSumExp(v)
            best[row] = argmax(v).lane.float
            y[row, c] = exp(v - m) * (1 / s) * w[c] + c.index.float * 1e-4
        }
    }

    /// How rows are in memory: from one to the next so many elements more than columns, the first so many behind an
    /// aligned address.
    struct Place {
        let gap: Int
        let offset: Int
        var inPlace = false
    }

    /// As the rule has it; in chunks; with rows in the shared memory of a block, and of two that share them.
    enum Way: CaseIterable {
        case rule, chunks, prefetched, shared

        func schedule(_ rule: GPUSchedule) -> GPUSchedule {
            if self == .rule { return rule }
            let blocks = self == .shared ? 2 : 1
            return GPUSchedule(
                threads: 32 * blocks, blocks: blocks, programsPerBlock: 1, vector: rule.vector,
                residentLanes: rule.vector, chunkVectors: 2, prefetchedChunks: self == .chunks ? 0 : 2)
        }
    }

    private struct Sample {
        static let rows = 5
        let kernel: Spread
        let parents: [NDArray]
        let arrays: [NDArray]

        /// Memory full of what no row has, and rows in it.
        init(_ columns: Int, _ dtype: DType, _ place: Place) throws {
            // Contiguous rows have a weight of their type, others one of f32.
            let weight = place.gap == 0 ? dtype : .f32
            kernel = Spread(columns: columns, dtype: dtype, weight: weight, inPlace: place.inPlace)
            let pitch = columns + place.gap, count = Self.rows * pitch + place.offset
            var random = SeededGenerator(seed: UInt64(columns))
            func parent(_ isSet: Bool) throws -> NDArray {
                try NDArray(
                    (0..<count).map { i in
                        let column = i < place.offset ? columns : (i - place.offset) % pitch
                        return column < columns && isSet ? Float.random(in: -4...4, using: &random) : 64
                    }, [count], dtype: dtype)
            }
            func rows(_ parent: NDArray) -> NDArray {
                NDArray(
                    buffer: parent.buffer, offset: place.offset, shape: [Self.rows, columns],
                    strides: [pitch, 1], dtype: dtype)
            }
            let matrices = try (place.inPlace ? [true] : [true, false]).map(parent)
            let vectors = [
                try NDArray((0..<columns).map { Float($0 % 7) + 1 }, [columns], dtype: weight),
                try NDArray(empty: [Self.rows]),
            ]
            (parents, arrays) = (matrices + vectors, matrices.map(rows) + vectors)
        }

        func launch() throws {
            try kernel.launch(
                programs: Self.rows,
                [
                    "x": arrays[0], "y": kernel.inPlace ? nil : arrays[1], "w": arrays[arrays.count - 2],
                    "best": arrays[arrays.count - 1],
                ])
        }
    }

    /// Less than a row of vectors more than whole ones, and less; padded, contiguous, and at an odd address.
    @Test(arguments: [67, 129, 515, 1023, 2050], Way.allCases)
    func agreesWithTheCPU(columns: Int, way: Way) throws {
        for dtype in [DType.bf16, .f16, .f32] {
            for place in [
                Place(gap: 128 - columns % 64, offset: 0), Place(gap: 0, offset: 0), Place(gap: 3, offset: 0),
                Place(gap: 0, offset: 5, inPlace: true), Place(gap: 2, offset: 3, inPlace: true),
                Place(gap: 1, offset: 7),
            ] {
                let (found, expected) = (try Sample(columns, dtype, place), try Sample(columns, dtype, place))
                let (function, layouts) = (
                    try TileFunction.trace(found.kernel), found.arrays.map(\.view).gpuLayouts
                )
                let rule = GPUSchedule(function, layouts: layouts)
                // Two arrays at odd addresses may be so apart from each other that vectors suit one only.
                let isWide = place.offset == 0 || place.inPlace
                #expect(
                    rule.vector > (isWide ? 2 : 0) && (isWide || rule.vector <= 2),
                    "\(columns) of \(dtype), \(place)")
                let threads = try ThreadFunction(
                    function, layouts: layouts, schedule: way.schedule(rule), sharedLimit: 227 << 10)
                _ = try Emulator.run(
                    threads, programs: Sample.rows,
                    arrays: found.arrays.map {
                        EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
                    }, scalars: [])
                try expected.launch()
                for (a, b) in zip(found.parents, expected.parents) {
                    // What is no row's has kept its 64.
                    let worst =
                        zip(a.doubles, b.doubles).map { Swift.abs($0 - $1) / Swift.max(1, $1) }.max() ?? 0
                    let bound = a.dtype == .f32 ? 2e-5 : 2 * (a.dtype.epsilon ?? 0)
                    #expect(worst <= bound, "\(columns) of \(dtype), \(place), \(way)")
                }
            }
        }
    }

    /// 16 bytes an access, whatever the length and wherever rows start.
    @Test(arguments: [4095, 50_257], [false, true])
    func movesWholeVectors(columns: Int, isShifted: Bool) throws {
        let function = try TileFunction.trace(Spread(columns: columns, dtype: .bf16, inPlace: false))
        let layouts = function.views.map {
            let isRow = isShifted && $0.rank > 1
            return GPULayout(
                hasUnitStride: true, isAligned: !isRow, hasWholeVectors: false, isShifted: isRow)
        }
        let plan = try GPUPlan(
            function, layouts: layouts, schedule: GPUSchedule(function, layouts: layouts, capability: 90),
            limits: GPULimits(sharedBytes: 227 << 10)
        ).description
        let lines = plan.split(separator: "\n").filter { $0.contains("an access") && !$0.contains("4 bytes") }
        #expect(
            lines.count > 1 && lines.allSatisfy { $0.contains("16 bytes an access") }, "\(plan)")
        #expect(plan.contains("single lanes " + (isShifted ? "at both ends" : "at the end")), "\(plan)")
        #expect(plan.contains("vectors of 8 lanes"), "\(plan)")
    }

    /// y = x w - mean(x) for rows a multiple of 8 apart, and the sum of x over them, as backward passes of norms have it.
    private struct Walk: TileKernel {
        let columns: Int
        let dtype: DType
        let weight: DType

        func body(_ p: Program) {
            let x = p.input("x", dtype, rank: 2), w = p.input("w", weight, rank: 1)
            let y = p.output("y", dtype, rank: 2), sums = p.output("sums", .f32, rank: 2)
            let step = p.scalar("eighth", as: Int.self) * 8, c = p.range(columns)
            sums[p.index, c] = p.loop(from: p.index, to: x.size(0), step: step, carrying: p.full(c, 0)) {
                row, sum in
                let v = x[row, c]
                y[row, c] = v * w[c] - mean(v)
                return sum + v
            }
        }
    }

    /// Rows of a loop at any address, in registers and staged in shared memory: by vectors, of which those at the ends of the
    /// arrays, here the first and the last row's, are moved lane by lane.
    @Test(arguments: [67, 129, 515, 1021], [0, 2, 3]) func walksRowsAtAnyAddress(columns: Int, stages: Int)
        throws
    {
        for (dtype, weight) in [(DType.bf16, DType.bf16), (.f16, .f32), (.f32, .f32)] {
            let kernel = Walk(columns: columns, dtype: dtype, weight: weight), rows = 37
            var random = SeededGenerator(seed: UInt64(columns))
            let x = try random.array([rows, columns], dtype, in: -4...4)
            let w = try random.array([columns], weight, in: -2...2)
            let y = try NDArray(empty: [rows, columns], dtype: dtype)
            let sums = try NDArray(empty: [16, columns])
            let layouts = [x, w, y, sums].map(\.view).gpuLayouts
            #expect(
                GPUSchedule(try TileFunction.trace(kernel), layouts: layouts).vector == 16 / dtype.byteCount)
            let observer = EmulatedLaunch(schedule: { function, layouts in
                var schedule = GPUSchedule(function, layouts: layouts)
                if schedule.programsPerBlock == 1 { schedule.stages = stages }
                return schedule
            })
            try LaunchObservation.with(observer) {
                try kernel.launch(
                    programs: 16, ["x": x, "w": w, "y": y, "sums": sums], scalars: ["eighth": .index(2)])
            }
        }
    }

    /// (n + i) / k and (n + i) % k, of program i.
    private struct Quotients: TileKernel {
        func body(_ p: Program) {
            let y = p.output("y", .i64, rank: 2, as: Int.self)
            let n = p.index + p.scalar("n", as: Int.self), k = p.scalar("k", as: Int.self)
            y[p.index, p.index * 0] = n / k
            y[p.index, p.index * 0 + 1] = n % k
        }
    }

    /// Numbers of 31 bits and fewer, whose quotients are found in 32; and more, on either side, and negative ones.
    @Test(arguments: [0, 7, (1 << 31) - 6, 1 << 31, 1 << 40, -9], [1, 3, 1000, 1 << 31, (1 << 33) + 1])
    func dividesPositions(n: Int, k: Int) throws {
        let y = try NDArray(empty: [9, 2], dtype: .i64)
        try LaunchObservation.with(EmulatedLaunch(tolerance: 0)) {
            try Quotients().launch(programs: 9, ["y": y], scalars: ["n": .index(n), "k": .index(k)])
        }
    }
}
