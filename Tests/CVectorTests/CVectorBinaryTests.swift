import CVector
import TestSupport
import Testing

@Suite struct CVectorBinaryTests {
    struct Operation: CustomTestStringConvertible, Sendable {
        let name: String
        let code: Int
        let formula: @Sendable (UInt32, UInt32) -> UInt32
        var testDescription: String { name }

        init(_ name: String, _ code: Int, bits formula: @escaping @Sendable (UInt32, UInt32) -> UInt32) {
            (self.name, self.code, self.formula) = (name, code, formula)
        }

        init(_ name: String, _ code: Int, float: @escaping @Sendable (Float, Float) -> Float) {
            self.init(name, code, bits: { float(Float(bitPattern: $0), Float(bitPattern: $1)).bitPattern })
        }

        init(_ name: String, _ code: Int, compare: @escaping @Sendable (Float, Float) -> Bool) {
            self.init(name, code, bits: { compare(Float(bitPattern: $0), Float(bitPattern: $1)) ? .max : 0 })
        }

        init(_ name: String, _ code: Int, signed: @escaping @Sendable (Int32, Int32) -> Int32) {
            self.init(
                name, code,
                bits: { UInt32(bitPattern: signed(Int32(bitPattern: $0), Int32(bitPattern: $1))) })
        }

        init(_ name: String, _ code: Int, compareSigned: @escaping @Sendable (Int32, Int32) -> Bool) {
            self.init(
                name, code, bits: { compareSigned(Int32(bitPattern: $0), Int32(bitPattern: $1)) ? .max : 0 })
        }
    }

    static let arithmetic = [
        Operation("add", CV_ADD, float: { $0 + $1 }),
        Operation("subtract", CV_SUB, float: { $0 - $1 }),
        Operation("multiply", CV_MUL, float: { $0 * $1 }),
        Operation("divide", CV_DIV, float: { $0 / $1 }),
        Operation("max", CV_MAX, float: { $0.isNaN || $1.isNaN ? .nan : $0 > $1 ? $0 : $1 }),
        Operation("min", CV_MIN, float: { $0.isNaN || $1.isNaN ? .nan : $0 < $1 ? $0 : $1 }),
        Operation("add i32", CV_ADD_I32, signed: { $0 &+ $1 }),
        Operation("subtract i32", CV_SUB_I32, signed: { $0 &- $1 }),
        Operation("multiply i32", CV_MUL_I32, signed: { $0 &* $1 }),
        Operation("max i32", CV_MAX_I32, signed: { Swift.max($0, $1) }),
        Operation("min i32", CV_MIN_I32, signed: { Swift.min($0, $1) }),
        Operation("upper half", CV_MULHI_U32, bits: { $0.multipliedFullWidth(by: $1).high }),
        Operation("max u32", CV_MAX_U32, bits: { Swift.max($0, $1) }),
        Operation("min u32", CV_MIN_U32, bits: { Swift.min($0, $1) }),
        Operation("and", CV_AND, bits: { $0 & $1 }),
        Operation("or", CV_OR, bits: { $0 | $1 }),
        Operation("xor", CV_XOR, bits: { $0 ^ $1 }),
        Operation("shift left", CV_SHL, bits: { $0 &<< $1 }),
        Operation("shift right u32", CV_SHR_U32, bits: { $0 &>> $1 }),
        Operation("shift right i32", CV_SHR_I32, signed: { $0 &>> $1 }),
    ]

    static let comparisons = [
        Operation("==", CV_EQ, compare: { $0 == $1 }), Operation("!=", CV_NE, compare: { $0 != $1 }),
        Operation("<", CV_LT, compare: { $0 < $1 }), Operation("<=", CV_LE, compare: { $0 <= $1 }),
        Operation(">", CV_GT, compare: { $0 > $1 }), Operation(">=", CV_GE, compare: { $0 >= $1 }),
        Operation("== i32", CV_EQ_I32, compareSigned: { $0 == $1 }),
        Operation("!= i32", CV_NE_I32, compareSigned: { $0 != $1 }),
        Operation("< i32", CV_LT_I32, compareSigned: { $0 < $1 }),
        Operation("<= i32", CV_LE_I32, compareSigned: { $0 <= $1 }),
        Operation("> i32", CV_GT_I32, compareSigned: { $0 > $1 }),
        Operation(">= i32", CV_GE_I32, compareSigned: { $0 >= $1 }),
        Operation("< u32", CV_LT_U32, bits: { $0 < $1 ? .max : 0 }),
        Operation("<= u32", CV_LE_U32, bits: { $0 <= $1 ? .max : 0 }),
        Operation("> u32", CV_GT_U32, bits: { $0 > $1 ? .max : 0 }),
        Operation(">= u32", CV_GE_U32, bits: { $0 >= $1 ? .max : 0 }),
    ]

    @Test func everyOperationIsTested() {
        #expect((Self.arithmetic + Self.comparisons).map(\.code).sorted() == Array(0..<CV_BINARY_COUNT))
    }

    @Test(arguments: arithmetic + comparisons, vectorLevels)
    func matchesTheFormula(of operation: Operation, level: Int) {
        var generator = SeededGenerator(seed: 3)
        atLevel(level) {
            for n in vectorSizes {
                let a = operands(n, &generator)
                var b = operands(n, &generator)
                for i in Swift.stride(from: 0, to: n, by: 5) { b[i] = a[i] }
                check(operation, CV_TILES, a, b, rows: 1, columns: n)
                check(operation, CV_TILES, words(a.map { Float(bitPattern: $0) }), b, rows: n, columns: 1)
            }
            // Every pair of special values.
            let left = specialFloats.flatMap { x in specialFloats.map { _ in x.bitPattern } }
            let right = specialFloats.flatMap { _ in specialFloats.map(\.bitPattern) }
            check(operation, CV_TILES, left, right, rows: 1, columns: left.count)
        }
    }

    @Test(arguments: arithmetic + comparisons, vectorLevels)
    func oneElementPerRow(of operation: Operation, level: Int) {
        var generator = SeededGenerator(seed: 4)
        atLevel(level) {
            for (rows, columns) in [(0, 3), (1, 1), (3, 1), (5, 2), (2, 17), (7, 33), (3, 257)] {
                let tile = operands(rows * columns, &generator)
                let column = operands(rows, &generator)
                check(operation, CV_RIGHT_PER_ROW, tile, column, rows: rows, columns: columns)
                check(operation, CV_LEFT_PER_ROW, column, tile, rows: rows, columns: columns)
            }
        }
    }

    /// Ordinary floats, special ones and arbitrary words in turn.
    private func operands(_ count: Int, _ generator: inout SeededGenerator) -> [UInt32] {
        let floats = generator.floats(count)
        let arbitrary = generator.words(count)
        return (0..<count).map { i in
            switch i % 4 {
            case 0, 1: floats[i].bitPattern
            case 2: arbitrary[i]
            default: specialFloats[Int(arbitrary[i] % UInt32(specialFloats.count))].bitPattern
            }
        }
    }

    private func check(
        _ operation: Operation, _ shape: Int, _ a: [UInt32], _ b: [UInt32], rows: Int, columns: Int
    ) {
        let apply = cv_get_binary(Int32(operation.code), Int32(shape))!
        let count = rows * columns
        var d = [UInt32](repeating: 0xdead_beef, count: count + 1)
        apply(&d, a, b, Int64(rows), Int64(columns))
        let wrong = (0..<count).first { i in
            let x = shape == CV_LEFT_PER_ROW ? a[i / columns] : a[i]
            let y = shape == CV_RIGHT_PER_ROW ? b[i / columns] : b[i]
            return !same(d[i], operation.formula(x, y))
        }
        #expect(wrong == nil, "\(operation.name), shape \(shape), \(rows) x \(columns), at \(wrong ?? 0)")
        #expect(d[count] == 0xdead_beef, "wrote past the end")
        var place = shape == CV_LEFT_PER_ROW ? b : a
        place.withUnsafeMutableBytes { bytes in
            let base = bytes.baseAddress
            if shape == CV_LEFT_PER_ROW {
                apply(base, a, base, Int64(rows), Int64(columns))
            } else {
                apply(base, base, b, Int64(rows), Int64(columns))
            }
        }
        #expect(zip(place, d).allSatisfy(same), "\(operation.name) in place, shape \(shape)")
    }
}
