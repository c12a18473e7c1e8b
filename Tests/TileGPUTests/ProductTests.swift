import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile
import TileEmulator
import TileGPU

/// y = a b^T over lines of either dimension, scaled by row, with a sum of each row's block.
private struct Lines: TileKernel {
    var dtype = DType.bf16
    var width = 64
    var columnsOfA = false
    var columnsOfB = false

    func body(_ p: Program) {
        let a = p.input("a", dtype, rank: 2), b = p.input("b", dtype, rank: 2)
        let scale = p.input("scale", .f32, rank: 1)
        let y = p.output("y", .f32, rank: 2), sums = p.output("sums", .f32, rank: 2)
        let i = p.index
        let c = columnsOfB ? p.blockOfColumns(of: b, width: width) : p.blockOfRows(of: b, width: width)
        let z = product(columnsOfA ? a.column(i) : a.row(i), columnsOfB ? b.columns(c) : b.rows(c)) * scale[i]
        y[i, c] = z
        sums[i, p.columnBlock] = sum(z)
    }
}

/// Arrays of a launch of `Lines`, and what must come out.
private struct Sample {
    let kernel: Lines
    let (rows, columns, depth): (Int, Int, Int)
    let arrays: [NDArray]

    init(_ kernel: Lines, rows: Int, columns: Int, depth: Int) throws {
        var random = SeededGenerator(seed: 5)
        func values(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
        }
        (self.kernel, self.rows, self.columns, self.depth) = (kernel, rows, columns, depth)
        let blocks = (columns + kernel.width - 1) / kernel.width
        let a = kernel.columnsOfA ? [depth, rows] : [rows, depth]
        let b = kernel.columnsOfB ? [depth, columns] : [columns, depth]
        arrays = [
            try NDArray(values(rows * depth), a, dtype: kernel.dtype),
            try NDArray(values(columns * depth), b, dtype: kernel.dtype),
            try NDArray(values(rows), [rows]), try .zeros([rows, columns]), try .zeros([rows, blocks]),
        ]
    }

    var named: LaunchArrays { Self.named(arrays) }

    static func named(_ arrays: [NDArray]) -> LaunchArrays {
        LaunchArrays(Array(zip(["a", "b", "scale", "y", "sums"], arrays)))
    }

    /// The largest errors of y and of the sums, relative to the sum of the magnitudes of their terms.
    func errors() -> (y: Double, sums: Double) {
        let (a, b, scale) = (arrays[0].doubles, arrays[1].doubles, arrays[2].doubles)
        let (y, sums) = (arrays[3].doubles, arrays[4].doubles)
        func at(_ x: [Double], _ line: Int, _ k: Int, _ lines: Int, _ isColumn: Bool) -> Double {
            isColumn ? x[k * lines + line] : x[line * depth + k]
        }
        var worst = (y: 0.0, sums: 0.0)
        let blocks = arrays[4].shape[1]
        for i in 0..<rows {
            var (expected, sizes) = (
                [Double](repeating: 0, count: blocks), [Double](repeating: 0, count: blocks)
            )
            for j in 0..<columns {
                let terms = (0..<depth).map {
                    at(a, i, $0, rows, kernel.columnsOfA) * at(b, j, $0, columns, kernel.columnsOfB)
                        * scale[i]
                }
                let size = terms.reduce(0) { $0 + abs($1) }
                worst.y = max(worst.y, abs(y[i * columns + j] - terms.reduce(0, +)) / size)
                expected[j / kernel.width] += terms.reduce(0, +)
                sizes[j / kernel.width] += size
            }
            for block in 0..<blocks {
                worst.sums = max(
                    worst.sums, abs(sums[i * blocks + block] - expected[block]) / sizes[block])
            }
        }
        return worst
    }

    /// What the kernel's threads are on sm_90.
    func threads(_ tiling: ProductTiling = ProductTiling()) throws -> ThreadFunction {
        let function = try TileFunction.trace(kernel)
        let layouts = arrays.map { array in
            let isAligned = array.strides.dropLast().allSatisfy { $0 * array.dtype.byteCount % 16 == 0 }
            return GPULayout(hasUnitStride: true, isAligned: isAligned, hasWholeVectors: isAligned)
        }
        var schedule = GPUSchedule(function, layouts: layouts, capability: 90)
        schedule.product = tiling
        return try ThreadFunction(function, layouts: layouts, schedule: schedule, sharedLimit: 227 << 10)
    }

    func emulate(_ threads: ThreadFunction) throws {
        let failure = try Emulator.run(
            threads, programs: rows,
            arrays: arrays.map {
                EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
            }, scalars: [])
        #expect(failure == nil)
    }
}

@Suite struct ProductTests {
    @Test(arguments: [
        Lines(dtype: .f32), Lines(dtype: .bf16), Lines(dtype: .f16, width: 7),
        Lines(dtype: .f32, columnsOfA: true), Lines(dtype: .bf16, columnsOfB: true),
        Lines(dtype: .f32, width: 600, columnsOfA: true, columnsOfB: true),
    ])
    private func multipliesOnTheProcessor(kernel: Lines) throws {
        let sample = try Sample(kernel, rows: 5, columns: 700, depth: 1037)
        try kernel.launch(programs: sample.rows, sample.named)
        let errors = sample.errors()
        #expect(errors.y < 3e-7 && errors.sums < 3e-7, "\(errors)")
    }

    /// Rows and columns that fill no tile, a line that fills no stage, and more stages than the ring has.
    @Test(arguments: [
        (Lines(), ProductTiling()), (Lines(dtype: .f16, width: 256), ProductTiling()),
        (Lines(width: 128), ProductTiling(stages: 2, cluster: 2)),
        (Lines(width: 8), ProductTiling(rows: 64, stages: 3, rowTilesTogether: 1)),
        (Lines(width: 192, columnsOfB: true), ProductTiling(stages: 3)),
        (Lines(dtype: .f16, width: 64, columnsOfA: true), ProductTiling()),
        (Lines(width: 128, columnsOfA: true, columnsOfB: true), ProductTiling(rows: 64)),
    ])
    private func multipliesOnTheEmulator(kernel: Lines, tiling: ProductTiling) throws {
        // Where lines are columns, rows of 16 bytes' multiples.
        let (rows, columns) = (kernel.columnsOfA ? 304 : 301, kernel.columnsOfB ? 336 : 333)
        let sample = try Sample(kernel, rows: rows, columns: columns, depth: 392)
        try sample.emulate(sample.threads(tiling))
        let errors = sample.errors()
        #expect(errors.y < 2e-6 && errors.sums < 2e-6, "\(errors)")
    }

    /// Every wait of the loop over stages is needed, and the emulator says so where one is missing.
    @Test(
        arguments: [
            (1, Lines(width: 64)), (2, Lines(width: 64)),
            (1, Lines(width: 64, columnsOfA: true, columnsOfB: true)),
        ], Omission.allCases)
    private func missesWhatIsLeftOut(way: (cluster: Int, kernel: Lines), omission: Omission) throws {
        let (cluster, kernel) = way
        let sample = try Sample(kernel, rows: 304, columns: 136, depth: 512)
        var threads = try sample.threads(ProductTiling(stages: 2, cluster: cluster))
        threads.body = omission.applied(to: threads.body)
        #expect(throws: EmulationError.self, "\(omission)") { try sample.emulate(threads) }
    }

    /// Rows in 16 bits, which threads exchange where they are at multiples of 16 bytes; the last block is cut.
    @Test(arguments: [DType.bf16, .f16], [(320, 256), (320, 64), (333, 32), (512, 24)])
    func storesHalfPrecision(dtype: DType, size: (columns: Int, width: Int)) throws {
        var random = SeededGenerator(seed: 8)
        func values(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
        }
        let x = try NDArray(values(140 * 72), [140, 72], dtype: dtype)
        let w = try NDArray(values(size.columns * 72), [size.columns, 72], dtype: dtype)
        let y = try NDArray.zeros([140, size.columns], dtype: dtype)
        try LaunchObservation.with(EmulatedLaunch()) {
            try ProductKernel(dtype: dtype, width: size.width).launch(
                programs: 140, ["x": x, "w": w, "y": y])
        }
    }

    /// Lines without elements: sums of nothing.
    @Test func emptyLinesGiveZeros() throws {
        let sample = try Sample(Lines(), rows: 130, columns: 70, depth: 0)
        for array in sample.arrays.suffix(2) {
            array.address.initializeMemory(as: UInt8.self, repeating: 0x40, count: array.byteCount)
        }
        try sample.kernel.launch(programs: sample.rows, sample.named)
        #expect(sample.arrays[3].doubles.allSatisfy { $0 == 0 } && sample.arrays[4].doubles[0] == 0)
    }

    /// y = 2 x, where the condition is not 0.
    private struct DoubledIf: TileKernel {
        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 1), condition = p.input("condition", .f32, rank: 1)
            let y = p.output("y", .f32, rank: 1)
            p.runs(onlyIf: condition)
            y[p.index] = x[p.index] * 2
        }
    }

    @Test(arguments: [(Float(0), 0.0), (1, 6), (-0.5, 6), (.nan, 6)])
    func runsOnCondition(condition: Float, expected: Double) throws {
        let y = try NDArray.zeros([1])
        try LaunchObservation.with(EmulatedLaunch()) {
            try DoubledIf().launch(
                programs: 1, ["x": NDArray([3], [1]), "condition": NDArray([condition], [1]), "y": y])
        }
        #expect(y.doubles == [expected])
    }

    /// Blocks without a product.
    private struct Misfit: TileKernel {
        func body(_ p: Program) {
            let x = p.input("x", .bf16, rank: 2), y = p.output("y", .f32, rank: 2)
            let c = p.blockOfRows(of: x, width: 64)
            y[p.index, c] = p.full(c, 1)
        }
    }

    @Test func refusesBlocksWithoutProduct() throws {
        let function = try TileFunction.trace(Misfit())
        let layout = GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        #expect {
            _ = try GPUPlan(function, layouts: [layout, layout])
        } throws: { "\($0)".contains("are not all there") }
    }

    @Test func refusesWhatTensorCoresCannotDo() throws {
        func message(_ kernel: Lines, width: Int? = nil) -> String {
            do {
                _ = try Sample(kernel, rows: 1, columns: 1, depth: 8).threads()
                return ""
            } catch { return "\(error)" }
        }
        #expect(message(Lines(dtype: .f32)).contains("bf16 or of f16"))
        #expect(message(Lines(width: 12)).contains("a multiple of 8"))
        #expect(message(Lines(width: 24, columnsOfB: true)).contains("a multiple of 64"))
    }

    @Test func namesMatricesWhoseLinesDiffer() throws {
        let arrays = try [[2, 3], [4, 5], [2], [2, 4], [2, 1]].map { try NDArray.zeros($0) }
        #expect {
            try Lines(dtype: .f32).launch(programs: 2, Sample.named(arrays))
        } throws: { "\($0)".contains("a, whose lines have 3 elements, and b, whose lines have 5") }
    }
}

/// What a careless change leaves out.
private enum Omission: CaseIterable {
    case waitForCopies, waitForReaders, waitForProducts, arrivals, fence

    func removes(_ step: ProductStep, in role: String) -> Bool {
        switch (self, step) {
        case (.waitForCopies, .await): role == "products"
        case (.waitForReaders, .await): role == "copies"
        case (.waitForProducts, .wait(pending: 0)), (.arrivals, .arrive), (.fence, .fence): true
        default: false
        }
    }

    func applied(to statements: [Statement], in role: String = "") -> [Statement] {
        statements.compactMap { statement in
            switch statement {
            case .instruction(let instruction):
                if case .product(let step) = instruction.kind, removes(step, in: role) { return nil }
                return statement
            case .loop(let counter, let from, let to, let step, let body):
                return .loop(
                    counter: counter, from: from, to: to, step: step, body: applied(to: body, in: role))
            case .conditional(let predicate, let then, let otherwise):
                return .conditional(
                    predicate, then: applied(to: then, in: role), otherwise: applied(to: otherwise, in: role))
            case .roles(let roles):
                return .roles(roles.map { $0.with(applied(to: $0.body, in: $0.name)) })
            case .selected, .programs: return statement
            }
        }
    }
}
