import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile
import TileEmulator
import TileGPU

/// Products whose rows have matrices of their own, chosen by numbers that only the device knows.
@Suite struct ExpertProductTests {
    private struct Sample {
        let x, dy: NDArray
        let weights: Experts.Weights
        let choices: [Int]
        let rows: ExpertRows
        let expected: Experts.Reference.Results

        init(_ choices: [Int], experts: Int = 3, hidden: Int = 256, inner: Int = 192, dtype: DType) throws {
            var random = SeededGenerator(seed: 15)
            let tokens = choices.count / 2
            x = try random.array([tokens, hidden], dtype)
            dy = try random.array([tokens, hidden], dtype)
            func weight(_ shape: [Int]) throws -> NDArray {
                try NDArray(
                    (0..<shape.reduce(1, *)).map { _ in Float.random(in: -0.2...0.2, using: &random) }, shape,
                    dtype: dtype)
            }
            weights = Experts.Weights(
                gateUp: try weight([experts, 2 * inner, hidden]), down: try weight([experts, hidden, inner]),
                choices: try NDArray(
                    (0..<(tokens * 2)).map { _ in Float.random(in: 0...1, using: &random) }, [tokens, 2]))
            self.choices = choices
            rows = try ExpertRows(choices, experts: experts)
            expected = Experts.Reference(
                hidden: hidden, inner: inner, choices: 2, x: x.doubles, gateUp: weights.gateUp.doubles,
                down: weights.down.doubles, weights: weights.choices.doubles, experts: choices
            ).results(dy: dy.doubles)
        }

        func check() throws {
            let dtype = x.dtype
            let (y, gates) = try Experts.forward(x, weights, rows, keepsGates: true)
            let found = try Experts.backward(dy: dy, x: x, gates: #require(gates), weights, rows)
            let bound = dtype == .f32 ? 3e-6 : 3 * (dtype.epsilon ?? 0)
            for (name, array, wanted) in [
                ("y", y, expected.y), ("dx", found.dInput, expected.dx),
                ("dgate_up", found.dGateUp, expected.dGateUp), ("ddown", found.dDown, expected.dDown),
                ("dweights", found.dChoices, expected.dWeights),
            ] {
                let values = try #require(array).doubles
                #expect(relativeError(values, wanted) < bound, "\(name): \(relativeError(values, wanted))")
            }
        }
    }

    /// An expert of several blocks, one without rows, and choices of an expert that is not there.
    private static let uneven = (0..<300).map { $0 % 7 == 0 ? 3 : $0 % 50 == 1 ? 0 : 2 }

    @Test(arguments: [DType.f32, .bf16, .f16]) func matchesDouble(dtype: DType) throws {
        try Sample(Self.uneven, dtype: dtype).check()
        try Sample([3, 3], dtype: dtype).check()
        try Sample([1, 0], dtype: dtype).check()
    }

    @Test(arguments: [DType.bf16, .f16]) func matchesOnTheEmulator(dtype: DType) throws {
        try LaunchObservation.with(EmulatedLaunch()) { try Sample(Self.uneven, dtype: dtype).check() }
    }

    /// Whatever was in memory that no row has, nothing of it comes out.
    @Test func leavesOutWhatNobodyWrote() throws {
        let sample = try Sample(Self.uneven, dtype: .bf16)
        let count = sample.rows.count.integers[0], source = sample.rows.source.integers
        #expect(count < source.count && source[count...].allSatisfy { $0 == -1 })
        #expect(sample.rows.starts.integers == [0, 1, 1, 3] && count == 384)
    }

    /// y = x, or x times rows of w, of the first rows.
    private struct Limited: TileKernel {
        let multiplies: Bool

        func body(_ p: Program) {
            let x = p.input("x", .bf16, rank: 2), w = p.input("w", .bf16, rank: 2)
            p.runs(below: p.input("count", .i32, rank: 1, as: Int.self))
            let y = p.output("y", .f32, rank: 2)
            let c = multiplies ? p.blockOfRows(of: w, width: 8) : p.range(8)
            y[p.index, c] = multiplies ? product(x.row(p.index), w.rows(c)) : x[p.index, c]
        }
    }

    /// Fewer rows than a tile has, none, more than the launch has, and a number that is none of rows.
    @Test(arguments: [true, false], [(200, 200), (3, 3), (0, 0), (900, 300), (-5, 0)])
    func leavesRowsBeyondALimit(multiplies: Bool, limit: (given: Int, rows: Int)) throws {
        var random = SeededGenerator(seed: 3)
        let x = try random.array([300, 8], .bf16), w = try random.array([8, 8], .bf16)
        let y = try NDArray([Float](repeating: 77, count: 2400), [300, 8])
        try LaunchObservation.with(EmulatedLaunch()) {
            try Limited(multiplies: multiplies).launch(
                programs: 300,
                ["x": x, "w": w, "count": try NDArray(integers: [limit.given], dtype: .i32), "y": y])
        }
        let written = y.doubles.map { $0 != 77 }
        #expect(written.prefix(limit.rows * 8).allSatisfy { $0 })
        #expect(!written.dropFirst(limit.rows * 8).contains(true))
    }

    /// y = a row of x times rows of w, with what the tensor cores cannot do.
    private struct Misfit: TileKernel {
        enum Fault: CaseIterable { case rowOfTable, ownStart, oddPart, twoRows, tooWide }
        let fault: Fault

        func body(_ p: Program) {
            let x = p.input("x", .bf16, rank: 2), w = p.input("w", .bf16, rank: 2)
            let table = p.input("table", .i32, rank: 1, as: Int.self)
            let y = p.output("y", .f32, rank: 2), row = p.index
            let c = p.blockOfColumns(of: y, width: fault == .tooWide ? 192 : 64), n = p.index / 128
            switch fault {
            case .rowOfTable: y[row, c] = product(x.row(table[row]), w.rows(c))
            case .ownStart: y[row, c] = product(x.row(row), w.rows(c + table[p.index / 64]))
            case .oddPart:
                y[row, c] = product(x.row(row).part(count: 96), w.rows(c).part(from: table[n], count: 96))
            case .twoRows: y[row, c] = product(x.row(row), w.rows(c)) + product(x.row(row + n), w.rows(c))
            case .tooWide: y[row, c] = product(x.row(row), w.rows(c)) + product(x.row(row), w.rows(c + n))
            }
        }

        var message: String {
            switch fault {
            case .rowOfTable: "other lines than those of consecutive programs"
            case .ownStart: "differ from row to row"
            case .oddPart: "than a multiple of 64"
            case .twoRows: "several lines of the first factor"
            case .tooWide: "all together up to 256"
            }
        }
    }

    @Test(arguments: Misfit.Fault.allCases) private func refuses(fault: Misfit.Fault) throws {
        let kernel = Misfit(fault: fault), function = try TileFunction.trace(kernel)
        let layout = GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        #expect {
            _ = try GPUPlan(function, layouts: [layout, layout, layout, layout])
        } throws: { "\($0)".contains(kernel.message) }
    }

    /// Parts that leave their lines, and parts of one factor only.
    private struct Parts: TileKernel {
        var ofBoth = true

        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 2), w = p.input("w", .f32, rank: 2)
            let y = p.output("y", .f32, rank: 2), c = p.blockOfRows(of: w, width: 8)
            let lines = ofBoth ? w.rows(c).part(from: p.index, count: 3) : w.rows(c)
            y[p.index, c] = product(x.row(p.index).part(count: 3), lines)
        }
    }

    @Test func refusesPartsBeyondLines() throws {
        let arrays = try [[2, 4], [8, 3], [2, 8]].map { try NDArray.zeros($0) }
        #expect {
            try Parts().launch(programs: 2, ["x": arrays[0], "w": arrays[1], "y": arrays[2]])
        } throws: { "\($0)".contains("index 3 of w is outside dimension 1, whose size is 3") }
        #expect { _ = try TileFunction.trace(Parts(ofBoth: false)) } throws: {
            "\($0)".contains("counts of their own")
        }
    }
}
