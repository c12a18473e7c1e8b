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
        let inPlace: Bool

        func body(_ p: Program) {
            let x = inPlace ? p.update("x", dtype, rank: 2) : p.input("x", dtype, rank: 2)
            let y = inPlace ? x : p.output("y", dtype, rank: 2)
            let w = p.input("w", .f32, rank: 1), best = p.output("best", .f32, rank: 1)
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
            kernel = Spread(columns: columns, dtype: dtype, inPlace: place.inPlace)
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
                try NDArray((0..<columns).map { Float($0 % 7) + 1 }), try NDArray(empty: [Self.rows]),
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

    /// Rows that a program goes through, a step apart: y = x + mean(w x), and the program's sums of them in a wider type.
    private struct Sums: TileKernel {
        let columns: Int
        let dtype: DType
        let step: Int

        func body(_ p: Program) {
            let x = p.input("x", dtype, rank: 2), w = p.input("w", dtype, rank: 1)
            let y = p.output("y", dtype, rank: 2), sums = p.output("sums", .f32, rank: 2)
            let part = p.scalar("part of a step", as: Int.self)
            let c = p.range(columns)
            let total = p.loop(
                from: p.index, to: x.size(0), step: part * (step / 2), carrying: p.full(c, 0)
            ) { row, sums in
                let v = x[row, c], next = v + mean(v * w[c])
                y[row, c] = next
                return sums + next
            }
            sums[p.index, c] = total
        }
    }

    /// Vectors serve a loop whose rows are all as far from a multiple of 16 bytes, and no other.
    @Test(arguments: [67, 515, 1023, 2050], [DType.bf16, .f32])
    func loopsOverRowsAStepApart(columns: Int, dtype: DType) throws {
        let rows = 39
        for (step, isWide) in [(32, true), (6, false)] {
            let kernel = Sums(columns: columns, dtype: dtype, step: step)
            var random = SeededGenerator(seed: UInt64(columns))
            func numbers(_ shape: [Int]) throws -> NDArray {
                try NDArray(
                    (0..<shape.reduce(1, *)).map { _ in Float.random(in: -4...4, using: &random) }, shape,
                    dtype: dtype)
            }
            let (x, w) = (try numbers([rows, columns]), try numbers([columns]))
            func results() throws -> (y: NDArray, sums: NDArray) {
                (try NDArray(empty: [rows, columns], dtype: dtype), try NDArray(empty: [step, columns]))
            }
            let (found, expected) = (try results(), try results())
            let arrays = [x, w, found.y, found.sums]
            let function = try TileFunction.trace(kernel)
            let layouts = arrays.map(\.view).gpuLayouts
            let rule = GPUSchedule(function, layouts: layouts)
            #expect((rule.vector == 16 / dtype.byteCount) == isWide, "\(columns), step \(step)")
            let threads = try ThreadFunction(
                function, layouts: layouts, schedule: rule, sharedLimit: 227 << 10)
            _ = try Emulator.run(
                threads, programs: step,
                arrays: arrays.map {
                    EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
                }, scalars: [.index(2)])
            try kernel.launch(
                programs: step, ["x": x, "w": w, "y": expected.y, "sums": expected.sums],
                scalars: ["part of a step": .index(2)])
            for (a, b) in [(found.y, expected.y), (found.sums, expected.sums)] {
                let worst = zip(a.doubles, b.doubles).map { Swift.abs($0 - $1) / Swift.max(1, Swift.abs($1)) }
                let bound = a.dtype == .f32 ? 2e-5 : 2 * (a.dtype.epsilon ?? 0)
                #expect(worst.max() ?? 1 <= bound, "\(columns) of \(dtype), step \(step)")
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
            lines.count > 1 && lines.allSatisfy { $0.contains("16 bytes an access") || isShifted }, "\(plan)")
        #expect(plan.contains("single lanes " + (isShifted ? "at both ends" : "at the end")), "\(plan)")
        #expect(plan.contains("vectors of 8 lanes"), "\(plan)")
    }
}
