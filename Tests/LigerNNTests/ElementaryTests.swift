import Foundation
import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// fp32 arithmetic over a few dozen terms.
private let bound = 2e-6

/// Each elementary operation against its formula; sizes of one, odd, and past one program's 4,096 elements.
@Suite struct ElementaryTests {
    @Test(arguments: [[1, 1], [3, 5], [7, 33]])
    func ofEqualShapes(shape: [Int]) throws {
        let error = try worstError([shape, shape], seed: 1) {
            try $0[0].adding($0[1])
        } _: { x in
            zip(x[0], x[1]).map(+)
        }
        #expect(error < bound)
        let product = try worstError([shape, shape], seed: 2) {
            try $0[0].multiplied(by: $0[1])
        } _: { x in
            zip(x[0], x[1]).map(*)
        }
        #expect(product < bound)
        let square = try worstError([shape], seed: 3) {
            try $0[0].multiplied(by: $0[0])
        } _: { x in
            x[0].map { $0 * $0 }
        }
        #expect(square < bound)
    }

    @Test(arguments: [[1, 1], [3, 5], [7, 33]])
    func ofRowsAndNumbers(shape: [Int]) throws {
        let (rows, columns) = (shape[0], shape[1])
        let perRow = try worstError([shape, [rows]], seed: 4) {
            try $0[0].multiplied(byNumberPerRow: $0[1])
        } _: { x in
            x[0].indices.map { x[0][$0] * x[1][$0 / columns] }
        }
        #expect(perRow < bound)
        let less = try worstError([shape, [rows]], seed: 5) {
            try $0[0].subtracting(numberPerRow: $0[1])
        } _: { x in
            x[0].indices.map { x[0][$0] - x[1][$0 / columns] }
        }
        #expect(less < bound)
        let byRow = try worstError([shape, [columns]], seed: 6) {
            try $0[0].multiplied(byRow: $0[1])
        } _: { x in
            x[0].indices.map { x[0][$0] * x[1][$0 % columns] }
        }
        #expect(byRow < bound)
        let plusRow = try worstError([shape, [columns]], seed: 7) {
            try $0[0].adding(row: $0[1])
        } _: { x in
            x[0].indices.map { x[0][$0] + x[1][$0 % columns] }
        }
        #expect(plusRow < bound)
        let sums = try worstError([shape], in: 0.5...2, seed: 8) {
            try $0[0].rowSums()
        } _: { x in
            (0..<rows).map { x[0][($0 * columns)..<(($0 + 1) * columns)].reduce(0, +) }
        }
        #expect(sums < bound)
    }

    @Test(arguments: [2, 6, 64])
    func ofHalves(columns: Int) throws {
        let half = columns / 2
        let error = try worstError([[3, columns]], seed: 9) {
            try $0[0].exchangingPairs(.halves, count: $0[0].shape[1] / 2)
        } _: { x in
            x[0].indices.map { $0 % columns < half ? -x[0][$0 + half] : x[0][$0 - half] }
        }
        #expect(error < bound)
    }

    @Test func ofTables() throws {
        var random = SeededGenerator(seed: 10)
        let table = try random.array([3, 4])
        let t = table.doubles
        // 2 sequences of 3 positions and 5 heads.
        let error = try worstError([[2, 3, 5, 4]], seed: 11) {
            try $0[0].multiplied(byTable: table)
        } _: { x in
            x[0].indices.map { x[0][$0] * t[$0 / 20 % 3 * 4 + $0 % 4] }
        }
        #expect(error < bound)
    }

    @Test func ofOneNumber() throws {
        let functions: [(String, ElementFunction, (Double) -> Double)] = [
            ("scaled", .scaled(by: -3), { $0 * -3 }), ("plus", .plus(0.5), { $0 + 0.5 }),
            ("rsqrt", .rsqrt, { 1 / $0.squareRoot() }), ("exp", .exp, { Foundation.exp($0) }),
            ("log", .log, { Foundation.log($0) }), ("sigmoid", .sigmoid, { 1 / (1 + Foundation.exp(-$0)) }),
            ("reciprocal", .reciprocal, { 1 / $0 }),
        ]
        for (name, function, formula) in functions {
            let error = try worstError([[3, 7]], in: 0.25...3, seed: 12) {
                try $0[0].mapped(function)
            } _: { x in
                x[0].map(formula)
            }
            #expect(error < bound, "\(name)")
        }
    }

    @Test func ofManyElements() throws {
        var random = SeededGenerator(seed: 13)
        for count in [4095, 4096, 4097, 10_001] {
            let (a, b) = (try random.array([count]), try random.array([count]))
            let sum = try Elementwise.add(a, b)
            #expect(relativeError(sum.doubles, zip(a.doubles, b.doubles).map(+)) < 1e-7)
            let narrow = try Cast.apply(Cast.apply(a, to: .bf16), to: .f32)
            #expect(firstDifference(narrow.floats, try NDArray(a.floats, dtype: .bf16).floats) == nil)
            try Elementwise.accumulate(b, into: a)
            #expect(firstDifference(a.doubles, sum.doubles) == nil)
        }
    }

    @Test func linearMap() throws {
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 3, 7), (17, 33, 9)] {
            let error = try worstError([[rows, inputs], [outputs, inputs], [outputs]], seed: 14) {
                try $0[0].linear($0[1], bias: $0[2])
            } _: { x in
                (0..<(rows * outputs)).map { i in
                    let (r, o) = (i / outputs, i % outputs)
                    return (0..<inputs).map { x[0][r * inputs + $0] * x[1][o * inputs + $0] }.reduce(
                        x[2][o], +)
                }
            }
            #expect(error < bound)
        }
    }
}
