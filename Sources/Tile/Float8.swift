/// The floats of 8 bits, one by one: what the storage types `e4m3` and `e5m2` mean.
package struct Float8: Sendable, Hashable {
    /// 4 bits of exponent, no infinities: up to 448.
    package static let e4m3 = Float8(exponentBits: 4, largest: 448, infinity: nil)
    /// 5 bits of exponent: up to 57,344.
    package static let e5m2 = Float8(exponentBits: 5, largest: 57_344, infinity: 0x7C)

    private let exponentBits: Int
    private let largest: Float
    private let infinity: UInt8?
    private var mantissaBits: Int { 7 - exponentBits }
    /// The exponent of the least normal number, which subnormal ones share.
    private var leastExponent: Int { 2 - (1 << (exponentBits - 1)) }

    /// Nearest, ties to even; the largest number for what is beyond it.
    package func bits(_ x: Float) -> UInt8 {
        let sign: UInt8 = x.sign == .minus ? 0x80 : 0
        if x.isNaN { return sign | 0x7F }
        let magnitude = Swift.min(x.magnitude, largest)
        if magnitude == 0 { return sign }
        let exponent = Swift.max(Int(magnitude.exponent), leastExponent)
        let unit = Float(sign: .plus, exponent: exponent - mantissaBits, significand: 1)
        let units = Int((magnitude / unit).rounded(.toNearestOrEven))
        // A carry into the next exponent adds up by itself; subnormal numbers have none of the implicit bit.
        let implicit = 1 << mantissaBits
        let field = units + (exponent - leastExponent) * implicit
        return sign | UInt8(field)
    }

    /// The number that 8 bits stand for.
    package func value(_ bits: UInt8) -> Float {
        let magnitude = bits & 0x7F
        let sign: FloatingPointSign = bits & 0x80 == 0 ? .plus : .minus
        if let infinity, magnitude >= infinity {
            return magnitude == infinity ? (sign == .plus ? Float.infinity : -.infinity) : .nan
        }
        if infinity == nil && magnitude == 0x7F { return .nan }
        let field = Int(magnitude >> mantissaBits), fraction = Int(magnitude) & (1 << mantissaBits - 1)
        let units = field == 0 ? fraction : fraction + 1 << mantissaBits
        let exponent = Swift.max(field, 1) - 1 + leastExponent - mantissaBits
        return Float(sign: sign, exponent: exponent, significand: Float(units))
    }
}
