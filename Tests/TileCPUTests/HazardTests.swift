import Foundation
import LigerRuntime
import TestSupport
import Testing
import Tile

/// x[c] = x[c] - mean(x); then y = sum of the new x: the second read must see the first write.
private struct CenterInPlace: TileKernel {
    let columns: Int
    func body(_ p: Program) {
        let x = p.update("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1)
        let c = p.range(columns)
        let v = x[p.index, c]
        x[p.index, c] = v - mean(v)
        y[p.index] = sum(x[p.index, c] * x[p.index, c])
    }
}

/// Halves of a row exchanged in place.
private struct SwapHalves: TileKernel {
    let half: Int
    func body(_ p: Program) {
        let x = p.update("x", .f32, rank: 2)
        let c = p.range(half)
        let first = x[p.index, c], second = x[p.index, c + half]
        x[p.index, c] = second
        x[p.index, c + half] = first
    }
}

/// Two carried tiles that change places every turn.
private struct Fibonacci: TileKernel {
    let columns: Int
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 2)
        let turns = p.scalar("turns", as: Int.self)
        let c = p.range(columns)
        let (a, b) = p.loop(from: turns * 0, to: turns, carrying: x[c], p.full(c, 1)) { _, a, b in (b, a + b)
        }
        y[0, c] = a
        y[1, c] = b
    }
}

/// y[i] = x[index[i]], rows of x strided.
private struct Gather: TileKernel {
    let count: Int
    func body(_ p: Program) {
        let x = p.input("x", .bf16, rank: 2), y = p.output("y", .f32, rank: 2)
        let positions = p.input("positions", .i32, rank: 2, as: Int32.self)
        let c = p.range(count)
        y[p.index, c] = x[p.index, positions[p.index, c]]
    }
}

/// keep = x > 0 as bytes; y = x where kept, else 0, from the bytes.
private struct Masks: TileKernel {
    let columns: Int
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2)
        let keep = p.update("keep", .u8, rank: 2, as: Bool.self)
        let c = p.range(columns)
        keep[p.index, c] = x[p.index, c] > 0
        y[p.index, c] = select(keep[p.index, c], x[p.index, c], 0)
    }
}

/// exp(x) is used before and after a sum: kept, not computed twice.
private struct TwoSums: TileKernel {
    let columns: Int
    func body(_ p: Program) {
        let x = p.input("x", .bf16, rank: 2), y = p.output("y", .bf16, rank: 2)
        let c = p.range(columns)
        let e = exp(x[p.index, c])
        let share = e / sum(e)
        y[p.index, c] = share - mean(share * share) + x[p.index, c]
    }
}

// Sizes of one block, of several, and of several programs to a batch.
private let sizes = [1, 2, 16, 100, 512, 513, 1030]

@Suite struct HazardTests {
    @Test(arguments: sizes) func readsItsOwnWrites(columns: Int) throws {
        let x = try NDArray((0..<(3 * columns)).map { Float($0 % 5) }, [3, columns])
        let y = try NDArray(empty: [3])
        let before = x.doubles
        try CenterInPlace(columns: columns).launch(programs: 3, ["x": x, "y": y])
        for row in 0..<3 {
            let values = before[(row * columns)..<((row + 1) * columns)]
            let mean = values.reduce(0, +) / Double(columns)
            let expected = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            #expect(abs(y.doubles[row] - expected) <= 1e-5 * expected + 1e-9)
        }
    }

    @Test(arguments: sizes) func exchangesInPlace(half: Int) throws {
        let values = (0..<(4 * half)).map { Float($0) }
        let x = try NDArray(values, [2, 2 * half])
        try SwapHalves(half: half).launch(programs: 2, ["x": x])
        let expected = (0..<2).flatMap { row in
            let start = row * 2 * half
            return values[(start + half)..<(start + 2 * half)] + values[start..<(start + half)]
        }
        #expect(firstDifference(x.floats, expected) == nil)
    }

    @Test(arguments: sizes, [0, 1, 2, 7]) func carriesTwoTiles(columns: Int, turns: Int) throws {
        let x = try NDArray((0..<columns).map { Float($0 % 3) })
        let y = try NDArray(empty: [2, columns])
        try Fibonacci(columns: columns).launch(
            programs: 1, ["x": x, "y": y], scalars: ["turns": .index(turns)])
        var (a, b) = (x.floats, [Float](repeating: 1, count: columns))
        for _ in 0..<turns { (a, b) = (b, zip(a, b).map { $0 + $1 }) }
        #expect(firstDifference(y.floats, a + b) == nil)
    }

    @Test func gathersThroughStrides() throws {
        let table = try NDArray((0..<60).map { Float($0) }, [6, 10], dtype: .bf16)
        let x = table.transposed(0, 1)
        let positions = try NDArray(integers: [5, 0, 3, 3, 1, 2], [2, 3], dtype: .i32)
        let y = try NDArray(empty: [2, 3])
        try Gather(count: 3).launch(programs: 2, ["x": x, "y": y, "positions": positions])
        #expect(y.floats == [50, 0, 30, 31, 11, 21])
        let outside = try NDArray(integers: [5, 0, 6, 3, 1, 2], [2, 3], dtype: .i32)
        let error = #expect(throws: (any Error).self) {
            try Gather(count: 3).launch(programs: 2, ["x": x, "y": y, "positions": outside])
        }
        #expect("\(try #require(error))".contains("index 6 of x is outside dimension 1, whose size is 6"))
    }

    @Test(arguments: sizes) func masksInMemory(columns: Int) throws {
        let values = (0..<(2 * columns)).map { Float($0 % 7) - 3 }
        let x = try NDArray(values, [2, columns])
        let y = try NDArray(empty: [2, columns]), keep = try NDArray(empty: [2, columns], dtype: .u8)
        try Masks(columns: columns).launch(programs: 2, ["x": x, "y": y, "keep": keep])
        #expect(firstDifference(y.floats, values.map { $0 > 0 ? $0 : 0 }) == nil)
        #expect(firstDifference(keep.integers, values.map { $0 > 0 ? 1 : 0 }) == nil)
    }

    @Test(arguments: sizes) func keepsCostlyTiles(columns: Int) throws {
        let x = try NDArray((0..<(3 * columns)).map { Float($0 % 9) / 4 - 1 }, [3, columns], dtype: .bf16)
        let y = try NDArray(empty: [3, columns], dtype: .bf16)
        try TwoSums(columns: columns).launch(programs: 3, ["x": x, "y": y])
        let (xs, ys) = (x.doubles, y.doubles)
        for row in 0..<3 {
            let v = xs[(row * columns)..<((row + 1) * columns)]
            let total = v.map { exp($0) }.reduce(0, +)
            let share = v.map { exp($0) / total }
            let square = share.map { $0 * $0 }.reduce(0, +) / Double(columns)
            // Terms are shares and scores, at most 1.
            let expected = zip(share, v).map { $0 - square + $1 }
            let found = Array(ys[(row * columns)..<((row + 1) * columns)])
            #expect(relativeError(found, expected, scale: 2) < bound(.bf16, terms: 4))
        }
    }

    @Test func refusesArraysThatDoNotFit() throws {
        let x = try NDArray.zeros([3, 8]), y = try NDArray.zeros([3])
        let kernel = CenterInPlace(columns: 8)
        let cases: [(LaunchArrays, String)] = [
            (["x": x], "expected arrays (x, y), found (x): name"),
            (["x": x, "y": nil], "expected arrays (x, y), found (x): name"),
            (["y": y, "x": x], "expected arrays (x, y), found (y, x): name"),
            (["x": x, "y": try NDArray.zeros([3], dtype: .bf16)], "y must be f32 of rank 1"),
            (["x": x, "y": x.flattened.sliced(0, 0..<3)], "y is written and overlaps x"),
            ([:], "on no array"),
        ]
        for (arrays, message) in cases {
            let error = #expect(throws: RuntimeError.self) { try kernel.launch(programs: 3, arrays) }
            #expect(error?.description.contains(message) ?? false)
        }
        let error = #expect(throws: (any Error).self) { try kernel.launch(programs: 4, ["x": x, "y": y]) }
        #expect("\(try #require(error))".contains("outside dimension 0, whose size is 3"))
    }

    /// Two arrays of one type and shape, and two numbers of one type, are told apart by their names.
    @Test func refusesArgumentsThatChangedPlaces() throws {
        struct Difference: TileKernel {
            func body(_ p: Program) {
                let a = p.input("a", .f32, rank: 1), b = p.input("b", .f32, rank: 1)
                let y = p.output("y", .f32, rank: 1)
                y[p.index] = a[p.index] * p.scalar("by a") - b[p.index] * p.scalar("by b")
            }
        }
        let a = try NDArray([3]), b = try NDArray([1]), y = try NDArray.zeros([1])
        let factors: LaunchScalars = ["by a": .float(2), "by b": .float(5)]
        try Difference().launch(programs: 1, ["a": a, "b": b, "y": y], scalars: factors)
        #expect(y.floats == [1])
        for (arrays, scalars, message) in [
            (["b": b, "a": a, "y": y], factors, "expected arrays (a, b, y), found (b, a, y)"),
            (["a": a, "c": b, "y": y], factors, "expected arrays (a, b, y), found (a, c, y)"),
            (
                ["a": a, "b": b, "y": y], ["by b": .float(5), "by a": .float(2)],
                "expected scalars (by a: f32, by b: f32), found (by b: f32, by a: f32)"
            ),
            (["a": a, "b": b, "y": y], ["by a": .index(2), "by b": .float(5)], "found (by a: index"),
        ] as [(LaunchArrays, LaunchScalars, String)] {
            let error = #expect(throws: RuntimeError.self) {
                try Difference().launch(programs: 1, arrays, scalars: scalars)
            }
            #expect(error?.description.contains(message) ?? false, "\(String(describing: error))")
        }
        #expect(y.floats == [1])
    }
}
