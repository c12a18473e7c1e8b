import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Two tiles of one row, doubled in place.
private struct DoubleRow: TileKernel {
    let columns: Int
    func body(_ p: Program) {
        let x = p.update("x", .bf16, rank: 2)
        let row = p.index + p.scalar("first row", as: Int.self), c = p.range(columns)
        x[row, c] = x[row, c] * 2
    }
}

extension TrapTests {
    /// Rows longer than 16 bits count, up to the longest vocabularies, forward and backward.
    @Test(arguments: [65_537, 262_144])
    func longRows(columns: Int) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        let x = try random.array([2, columns]), dy = try random.array([2, columns])
        let w = try random.array([columns], in: 0.5...2)
        let options = RMSNorm.Options(eps: 1e-5), eps = Double(Float(1e-5))
        let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
        let (dx, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
        let norm = RMSNorm.Reference.forward(
            x.doubles, weight: w.doubles, columns: columns, eps: eps, offset: 0)
        let gradient = RMSNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: columns, eps: eps, offset: 0)
        #expect(relativeError(y.doubles, norm.y) < bound(.f32))
        #expect(relativeError(dx.doubles, gradient.dx) < bound(.f32, terms: 4))
        #expect(relativeError(dw?.doubles ?? [], gradient.dw) < bound(.f32, terms: 2))

        let layer = try LayerNorm.forward(x, weight: w, bias: nil, eps: 1e-5)
        let found = try LayerNorm.backward(dy: dy, x: x, weight: w, mean: layer.mean, rstd: layer.rstd)
        let expected = LayerNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: columns, eps: eps)
        #expect(relativeError(found.dx.doubles, expected.dx) < bound(.f32, terms: 4))

        let units = try SwiGLU.backward(dy: dy, gate: x, up: dy)
        let pairs = zip(x.doubles, dy.doubles).map { SwiGLU.Reference.backward(dy: $1, gate: $0, up: $1) }
        #expect(relativeError(units.dgate.doubles, pairs.map(\.dgate), scale: 4.8) < bound(.f32, terms: 4))
        #expect(relativeError(units.dup.doubles, pairs.map(\.dup), scale: 4) < bound(.f32))
    }

    /// Elements past 2^31, which 32-bit offsets cannot reach: the start of the row alone lies beyond. Memory
    /// that is not touched costs nothing.
    @Test func offsetsPastTwoToThe31() throws {
        let (rows, columns) = (1 << 19 + 5, 4096)
        let device = Device(name: "large")
        let table = try NDArray(empty: [rows, columns], dtype: .bf16, device: device)
        let last = table.sliced(0, (rows - 2)..<rows)
        try NDArray((0..<(2 * columns)).map { Float($0 % 100) }, [2, columns], dtype: .bf16)
            .copyBytes(to: last)
        let ids = try NDArray(integers: [rows - 1, rows - 2], dtype: .i32)
        let found = try Embedding.forward(ids: ids, table: table).floats
        let expected = last.floats
        #expect(Array(found[..<columns]) == Array(expected[columns...]))
        #expect(Array(found[columns...]) == Array(expected[..<columns]))
        try DoubleRow(columns: columns).launch(
            programs: 2, ["x": table], scalars: ["first row": .index(rows - 2)])
        #expect(last.floats == expected.map { 2 * $0 })
    }

    /// Views that are not contiguous are refused by name, never read as if they were.
    @Test func refusesViewsThatAreNotContiguous() throws {
        var random = SeededGenerator(seed: 4)
        let x = try random.array([6, 6]).transposed(0, 1), y = try random.array([6, 6])
        let wide = try random.array([6, 12]).sliced(1, 0..<6), row = try random.array([6])
        let calls: [() throws -> Void] = [
            { _ = try RMSNorm.forward(x, weight: row) },
            { _ = try RMSNorm.backward(dy: x, x: y, weight: row, rstd: row) },
            { _ = try RMSNorm.forward(wide, weight: row) },
            { _ = try LayerNorm.forward(x, weight: row, bias: nil, eps: 1e-5) },
            { _ = try LayerNorm.backward(dy: wide, x: y, weight: row, mean: row, rstd: row) },
            { _ = try SwiGLU.forward(gate: x, up: x) },
            { _ = try GeGLU.backward(dy: x, gate: y, up: y) },
            { _ = try Softmax.forward(wide) },
            { _ = try Softmax.backward(dy: x, y: y) },
            {
                _ = try Embedding.backward(
                    dy: x, ids: try NDArray(integers: [0, 1, 2, 3, 4, 5]), vocabulary: 6)
            },
        ]
        for (i, call) in calls.enumerated() {
            let error = #expect(throws: RuntimeError.self, "call \(i)") { try call() }
            #expect(
                error?.description.contains("ontiguous") == true, "call \(i): \(error?.description ?? "")")
        }
    }
}
