import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct SparsemaxTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        // Few columns above 0, some, most, and all.
        for spread in [8, 1, 4 / Float(columns), 0.5 / Float(columns)] {
            let x = try random.array([5, columns], dtype, in: -spread...spread)
            let dy = try random.array([5, columns], dtype)
            let y = try Sparsemax.forward(x)
            let dx = try Sparsemax.backward(dy: dy, y: y)
            for (row, (x, y)) in zip(byRow(x), byRow(y)).enumerated() {
                #expect(relativeError(y, Sparsemax.Reference.forward(x)) < bound(dtype, terms: 4))
                let expected = Sparsemax.Reference.backward(dy: byRow(dy)[row], y: y)
                #expect(relativeError(byRow(dx)[row], expected, scale: 4) < bound(dtype, terms: 4))
            }
        }
    }

    /// Values whose differences halve from one to the next, or grow: every step of the search leaves few out.
    @Test(arguments: [40, 3000]) func rowsThatTakeManySteps(columns: Int) throws {
        let places = (0..<columns).map { Float($0) }
        let rows = [
            places.map { -1 / ($0 + 1) }, places.map { -$0 / Float(columns) },
            places.map { 1 / (1 + $0 * $0) }, places.map { $0 < 24 ? -Float(1 << Int($0)) * 0x1p-23 : -2 },
        ]
        let y = try Sparsemax.forward(NDArray(rows.flatMap { $0 }, [rows.count, columns]))
        for (x, y) in zip(rows, byRow(y)) {
            #expect(
                relativeError(y, Sparsemax.Reference.forward(x.map { Double($0) })) < bound(.f32, terms: 4))
        }
    }

    @Test func aCommonOffsetChangesNothing() throws {
        // Multiples of 1/8 are exact beside 2^20.
        let x = (0..<300).map { Float($0 * 37 % 64) / 8 }
        let y = try Sparsemax.forward(NDArray(x)).floats
        for offset in [0x1p20, -0x1p20] as [Float] {
            #expect(try Sparsemax.forward(NDArray(x.map { $0 + offset })).floats == y)
        }
        #expect(try Sparsemax.forward(NDArray([7, 7, 7, 7])).floats == [0.25, 0.25, 0.25, 0.25])
    }

    @Test func infinitiesAndNaN() throws {
        let rows: [[Float]] = [
            [-.infinity, -.infinity, -.infinity], [-.infinity, 3, 2.5], [.infinity, 0, -.infinity],
            [.nan, 0, 1],
        ]
        let y = try Sparsemax.forward(NDArray(rows.flatMap { $0 }, [4, 3]))
        #expect(Array(y.floats.prefix(6)) == [0, 0, 0, 0, 0.75, 0.25])
        #expect(y.floats.suffix(6).allSatisfy { $0.isNaN })
        let dx = try Sparsemax.backward(dy: NDArray([1, 2, 3, 1, 2, 4, 0, 0, 0, 0, 0, 0], [4, 3]), y: y)
        #expect(Array(dx.floats.prefix(6)) == [0, 0, 0, 0, -1, 1])
    }

    @Test func longRows() throws {
        var random = SeededGenerator(seed: 5)
        let x = try random.array([2, 262_144], .f32, in: -1...1)
        let y = try Sparsemax.forward(x)
        for (x, y) in zip(byRow(x), byRow(y)) {
            #expect(relativeError(y, Sparsemax.Reference.forward(x)) < bound(.f32, terms: 4))
        }
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3])
        #expect(throws: RuntimeError.self) { try Sparsemax.forward(x.transposed(0, 1)) }
        #expect(throws: RuntimeError.self) { try Sparsemax.backward(dy: NDArray.zeros([2, 2]), y: x) }
    }
}

private func byRow(_ x: NDArray) -> [[Double]] {
    let values = x.doubles, columns = x.shape[1]
    return stride(from: 0, to: values.count, by: columns).map { Array(values[$0..<($0 + columns)]) }
}
