import CVector
import TestSupport
import Testing

@Suite struct CVectorUnaryTests {
    struct Operation: CustomTestStringConvertible, Sendable {
        let name: String
        let code: Int
        /// Bits of the result from bits of the operand.
        let formula: @Sendable (UInt32) -> UInt32
        var testDescription: String { name }

        init(_ name: String, _ code: Int, bits formula: @escaping @Sendable (UInt32) -> UInt32) {
            (self.name, self.code, self.formula) = (name, code, formula)
        }

        init(_ name: String, _ code: Int, float: @escaping @Sendable (Float) -> Float) {
            self.init(name, code, bits: { float(Float(bitPattern: $0)).bitPattern })
        }
    }

    static let operations = [
        Operation("negate", CV_NEGATE, float: { -$0 }),
        Operation("abs", CV_ABS, float: { $0.magnitude }),
        Operation("floor", CV_FLOOR, float: { $0.rounded(.down) }),
        Operation("round to bf16", CV_ROUND_BF16, float: { nearestBF16($0) }),
        Operation("round to f16", CV_ROUND_F16, float: { Float(Float16($0)) }),
        Operation("not", CV_NOT, bits: { ~$0 }),
        Operation("negate i32", CV_NEGATE_I32, bits: { 0 &- $0 }),
        Operation("i32 to f32", CV_I32_TO_F32, bits: { Float(Int32(bitPattern: $0)).bitPattern }),
        Operation("u32 to f32", CV_U32_TO_F32, bits: { Float($0).bitPattern }),
        Operation(
            "f32 to i32", CV_F32_TO_I32,
            bits: {
                let x = Double(Float(bitPattern: $0))
                let inside = x.isNaN ? 0 : min(max(x, Double(Int32.min)), Double(Int32.max))
                return UInt32(bitPattern: Int32(inside.rounded(.towardZero)))
            }),
        Operation("copy", CV_COPY, bits: { $0 }),
    ]

    @Test func everyOperationIsTested() {
        let codes = Self.operations.map(\.code) + CVectorMathTests.functions.map(\.operation)
        #expect((codes + [CV_MASK_TO_F32, CV_MASK_TO_I32]).sorted() == Array(0..<CV_UNARY_COUNT))
    }

    @Test(arguments: operations, vectorLevels)
    func matchesTheFormula(of operation: Operation, level: Int) {
        var generator = SeededGenerator(seed: 1)
        atLevel(level) {
            for n in vectorSizes {
                var a = generator.words(n)
                for i in 0..<min(n, specialFloats.count) { a[n - 1 - i] = specialFloats[i].bitPattern }
                check(operation, a)
            }
            check(operation, Array(stride(from: UInt32(0), to: .max - 9973, by: 9973)))
        }
    }

    private func check(_ operation: Operation, _ a: [UInt32]) {
        let got = applyUnary(operation.code, a)
        let wrong = a.indices.first { !same(got[$0], operation.formula(a[$0])) }
        #expect(wrong == nil, "\(operation.name) of bits \(wrong.map { a[$0] } ?? 0), n = \(a.count)")
        var place = a
        place.withUnsafeMutableBytes { bytes in
            cv_get_unary(Int32(operation.code))(bytes.baseAddress, bytes.baseAddress, Int64(a.count))
        }
        #expect(firstDifference(place, got) == nil, "\(operation.name) in place, n = \(a.count)")
    }

    @Test(arguments: vectorLevels)
    func masks(level: Int) {
        var generator = SeededGenerator(seed: 2)
        atLevel(level) {
            for n in vectorSizes {
                let mask = generator.words(n).map { $0 & 1 == 0 ? 0 : UInt32.max }
                #expect(applyUnary(CV_MASK_TO_I32, mask) == mask.map { $0 == 0 ? 0 : 1 })
                let one = Float(1).bitPattern
                #expect(applyUnary(CV_MASK_TO_F32, mask) == mask.map { $0 == 0 ? 0 : one })
            }
        }
    }
}

/// The nearest number of 8 significant bits, ties to even, reasoned in Double: the two neighbours of `x`
/// and their exact distances.
func nearestBF16(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    let below = Float(bitPattern: x.bitPattern & 0xffff_0000)
    let step = below.bitPattern &+ 0x1_0000
    // Past the largest comes what would be the next power of two, which stands for infinity.
    let above = Float(bitPattern: step)
    let aboveExact = above.isFinite ? Double(above) : (x < 0 ? -0x1p128 : 0x1p128)
    let down = (Double(x) - Double(below)).magnitude
    let up = (aboveExact - Double(x)).magnitude
    if down != up { return down < up ? below : above }
    return (below.bitPattern >> 16) & 1 == 0 ? below : above
}
