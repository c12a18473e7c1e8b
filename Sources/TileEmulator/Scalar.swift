import Platform
import Tile
import TileGPU

/// What instructions compute, on the bits of registers.
enum Scalar {
    static func float(_ bits: UInt64) -> Float { Float(bitPattern: UInt32(truncatingIfNeeded: bits)) }
    static func bits(_ value: Float) -> UInt64 { UInt64(value.bitPattern) }
    private static func signed(_ bits: UInt64) -> Int32 { Int32(truncatingIfNeeded: Int64(bitPattern: bits)) }
    private static func word(_ bits: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: bits) }
    private static func bits(_ value: Int32) -> UInt64 { UInt64(UInt32(bitPattern: value)) }

    /// - Parameters:
    ///   - a, b, c: bits of the operands; those that the instruction lacks are ignored.
    @inline(__always)
    static func compute(
        _ arithmetic: Arithmetic, _ type: NumberType, _ a: UInt64, _ b: UInt64, _ c: UInt64
    ) -> UInt64 {
        switch type {
        case .f32: bits(compute(arithmetic, float(a), float(b), float(c)))
        case .s64: compute(arithmetic, Int64(bitPattern: a), Int64(bitPattern: b))
        case .predicate: predicate(arithmetic, a, b)
        case .s32: integer(arithmetic, a, b, isSigned: true)
        case .u32: integer(arithmetic, a, b, isSigned: false)
        }
    }

    private static func compute(_ arithmetic: Arithmetic, _ x: Float, _ y: Float, _ z: Float) -> Float {
        switch arithmetic {
        case .add: return x + y
        case .subtract: return x - y
        case .multiply: return x * y
        case .divide: return x / y
        case .minimum: return x.isNaN || y.isNaN ? .nan : Swift.min(x, y)
        case .maximum: return x.isNaN || y.isNaN ? .nan : Swift.max(x, y)
        case .negate: return -x
        case .abs: return Swift.abs(x)
        case .squareRoot: return x.squareRoot()
        case .floor: return x.rounded(.down)
        case .reciprocalSquareRoot: return 1 / x.squareRoot()
        case .reciprocal: return flushed(1 / flushed(x))
        case .exp2: return flushed(exp2f(flushed(x)))
        case .log2: return log2f(x)
        case .multiplyAdd: return z.addingProduct(x, y)
        case .copySign: return Float(signOf: y, magnitudeOf: x)
        default: preconditionFailure("no \(arithmetic) of floats")
        }
    }

    /// 0 for what is below the normal numbers, as instructions have it that end in `.ftz`.
    private static func flushed(_ x: Float) -> Float { x.isSubnormal ? Float(signOf: x, magnitudeOf: 0) : x }

    private static func compute(_ arithmetic: Arithmetic, _ x: Int64, _ y: Int64) -> UInt64 {
        let value: Int64
        switch arithmetic {
        case .add: value = x &+ y
        case .subtract: value = x &- y
        case .multiply: value = x &* y
        case .divide: value = y == 0 ? -1 : x / y
        case .remainder: value = y == 0 ? x : x % y
        case .minimum: value = Swift.min(x, y)
        case .maximum: value = Swift.max(x, y)
        default: preconditionFailure("no \(arithmetic) of positions")
        }
        return UInt64(bitPattern: value)
    }

    private static func integer(
        _ arithmetic: Arithmetic, _ x: UInt64, _ y: UInt64, isSigned: Bool
    ) -> UInt64 {
        let (a, b) = (word(x), word(y))
        let (sa, sb) = (signed(x), signed(y))
        switch arithmetic {
        case .add: return UInt64(a &+ b)
        case .subtract: return UInt64(a &- b)
        case .multiply: return UInt64(a &* b)
        case .divide: return b == 0 ? 0xFFFF_FFFF : UInt64(a / b)
        case .multiplyHigh: return (UInt64(a) * UInt64(b)) >> 32
        case .minimum: return isSigned ? bits(Swift.min(sa, sb)) : UInt64(Swift.min(a, b))
        case .maximum: return isSigned ? bits(Swift.max(sa, sb)) : UInt64(Swift.max(a, b))
        case .and: return UInt64(a & b)
        case .or: return UInt64(a | b)
        case .xor: return UInt64(a ^ b)
        // PTX shifts by at most the width; the language takes the low five bits, which it hands over.
        case .shiftLeft: return UInt64(b > 31 ? 0 : a << b)
        case .shiftRight: return isSigned ? bits(sa >> Int32(Swift.min(b, 31))) : UInt64(b > 31 ? 0 : a >> b)
        case .negate: return bits(0 &- sa)
        case .not: return UInt64(~a)
        default: preconditionFailure("no \(arithmetic) of integers")
        }
    }

    private static func predicate(_ arithmetic: Arithmetic, _ x: UInt64, _ y: UInt64) -> UInt64 {
        switch arithmetic {
        case .and: x & y & 1
        case .or: (x | y) & 1
        case .xor: (x ^ y) & 1
        default: ~x & 1
        }
    }

    static func compare(_ comparison: Comparison, _ type: NumberType, _ a: UInt64, _ b: UInt64) -> Bool {
        switch type {
        case .f32: holds(comparison, float(a), float(b))
        case .s32: holds(comparison, signed(a), signed(b))
        case .u32: holds(comparison, word(a), word(b))
        default: holds(comparison, Int64(bitPattern: a), Int64(bitPattern: b))
        }
    }

    private static func holds<T: Comparable>(_ comparison: Comparison, _ a: T, _ b: T) -> Bool {
        switch comparison {
        case .equal: a == b
        case .notEqual: a != b
        case .less: a < b
        case .lessOrEqual: a <= b
        case .greater: a > b
        case .greaterOrEqual: a >= b
        }
    }

    static func convert(_ value: UInt64, _ from: NumberType, _ to: NumberType) -> UInt64 {
        switch (from, to) {
        case (.f32, .s64):
            return UInt64(bitPattern: Int64(exactly: float(value).rounded(.towardZero)) ?? 0)
        case (.f32, _):
            let x = float(value)
            if x.isNaN { return 0 }
            return bits(x >= 0x1p31 ? .max : x < -0x1p31 ? .min : Int32(x))
        case (.s32, .f32): return bits(Float(signed(value)))
        case (.u32, .f32): return bits(Float(word(value)))
        case (.s64, .f32): return bits(Float(Int64(bitPattern: value)))
        case (.s32, .s64): return UInt64(bitPattern: Int64(signed(value)))
        case (.u32, .s64): return UInt64(word(value))
        default: return UInt64(word(value))
        }
    }

    // MARK: Storage

    static func narrow(_ value: UInt64, _ dtype: DType) -> UInt64 {
        switch dtype {
        case .bf16:
            let word = word(value)
            if float(value).isNaN { return UInt64(word >> 16 | 0x40) }
            return UInt64((word &+ 0x7FFF &+ (word >> 16 & 1)) >> 16)
        case .f16: return UInt64(Float16(float(value)).bitPattern)
        case .e4m3: return UInt64(Float8.e4m3.bits(float(value)))
        case .e5m2: return UInt64(Float8.e5m2.bits(float(value)))
        default: return value
        }
    }

    static func widen(_ stored: UInt64, _ dtype: DType) -> UInt64 {
        switch dtype {
        case .bf16: stored << 16
        case .f16: bits(Float(Float16(bitPattern: UInt16(truncatingIfNeeded: stored))))
        case .e4m3: bits(Float8.e4m3.value(UInt8(truncatingIfNeeded: stored)))
        case .e5m2: bits(Float8.e5m2.value(UInt8(truncatingIfNeeded: stored)))
        default: stored
        }
    }
}
