import CVector
import Foundation
import TestSupport
import Testing

@Suite struct CVectorMathTests {
    struct Function: CustomTestStringConvertible, Sendable {
        let name: String
        let operation: Int
        /// In units in the last place, as stated in CVector.h.
        let bound: Double
        let exact: @Sendable (Double) -> Double
        var testDescription: String { name }
    }

    static let functions = [
        Function(name: "exp", operation: CV_EXP, bound: 2, exact: { exp($0) }),
        Function(name: "log", operation: CV_LOG, bound: 2, exact: { log($0) }),
        Function(name: "tanh", operation: CV_TANH, bound: 3, exact: { tanh($0) }),
        Function(name: "erf", operation: CV_ERF, bound: 3, exact: { erf($0) }),
        Function(
            name: "sigmoid", operation: CV_SIGMOID, bound: 4,
            exact: { $0 < 0 ? exp($0) / (1 + exp($0)) : 1 / (1 + exp(-$0)) }),
        Function(name: "sin", operation: CV_SIN, bound: 3, exact: { sin($0) }),
        Function(name: "cos", operation: CV_COS, bound: 3, exact: { cos($0) }),
        Function(name: "sqrt", operation: CV_SQRT, bound: 0.5, exact: { $0.squareRoot() }),
        Function(name: "rsqrt", operation: CV_RSQRT, bound: 1.5, exact: { 1 / $0.squareRoot() }),
        Function(name: "reciprocal", operation: CV_RECIPROCAL, bound: 0.5, exact: { 1 / $0 }),
    ]

    /// Every 997th bit pattern: all exponents, both signs, subnormals and NaN.
    @Test(arguments: functions, vectorLevels)
    func errorIsWithinTheBound(of function: Function, level: Int) {
        var worst = (error: 0.0, at: Float(0))
        atLevel(level) {
            var pattern: UInt64 = 0
            while pattern < 1 << 32 {
                let a = (0..<2048).map { Float(bitPattern: UInt32(truncatingIfNeeded: pattern + $0 * 997)) }
                pattern += 2048 * 997
                for (x, y) in zip(a, applyUnary(function.operation, a)) {
                    let error = unitsInLastPlace(y, from: function.exact(Double(x)))
                    if !(error <= worst.error) { worst = (error, x) }
                }
            }
        }
        #expect(worst.error <= function.bound, "\(function.name)(\(worst.at)) at level \(level)")
    }

    @Test(arguments: functions, vectorLevels)
    func specialValues(of function: Function, level: Int) {
        atLevel(level) {
            for (x, y) in zip(specialFloats, applyUnary(function.operation, specialFloats)) {
                let exact = function.exact(Double(x))
                #expect(unitsInLastPlace(y, from: exact) <= function.bound, "\(function.name)(\(x)) = \(y)")
                if exact == 0 { #expect(y.sign == exact.sign, "sign of \(function.name)(\(x))") }
            }
        }
    }

    /// The value of an element depends neither on its place nor on the length of the row.
    @Test(arguments: functions, vectorLevels)
    func placeAndLengthDoNotMatter(for function: Function, level: Int) {
        var generator = SeededGenerator(seed: 11)
        let a = generator.floats(3000, in: 0.001...30)
        atLevel(level) {
            let whole = words(applyUnary(function.operation, a))
            for n in vectorSizes {
                let part = words(applyUnary(function.operation, Array(a[7..<7 + n])))
                #expect(part == Array(whole[7..<7 + n]), "\(function.name), n = \(n)")
                var place = words(Array(a[7..<7 + n]))
                place.withUnsafeMutableBytes { bytes in
                    cv_get_unary(Int32(function.operation))(bytes.baseAddress, bytes.baseAddress, Int64(n))
                }
                #expect(place == part, "\(function.name) in place, n = \(n)")
            }
        }
    }

    /// Angles of long contexts, and beyond where the reduction in Double ends.
    @Test(arguments: vectorLevels)
    func largeAngles(level: Int) {
        var generator = SeededGenerator(seed: 12)
        let a = generator.floats(999, in: -262_144...262_144) + generator.floats(999, in: -1e30...1e30)
        atLevel(level) {
            for (x, y) in zip(a, applyUnary(CV_SIN, a)) {
                #expect(unitsInLastPlace(y, from: sin(Double(x))) <= 3, "sin(\(x))")
            }
            for (x, y) in zip(a, applyUnary(CV_COS, a)) {
                #expect(unitsInLastPlace(y, from: cos(Double(x))) <= 3, "cos(\(x))")
            }
        }
    }
}
