package import Tile

/// What converts a float of 8 bits in integer arithmetic, on targets without an instruction for it; as CVector/Eighth.h, which
/// says why.
package struct Float8Form: Sendable {
    /// Bits of a fraction that are lost.
    package let cut: Int
    /// The difference of exponents, in place.
    package let shift: Int
    /// The bits of the least normal number, and of the largest.
    package let smallest: Int
    package let largest: Int
    /// The largest number in 8 bits, and infinity.
    package let most: Int
    package let infinity: Int?
    /// The power of two whose unit in the last place is the least number, and that by which exponents differ.
    package let adds: Float
    package let growth: Float

    package init(_ dtype: DType) {
        if dtype == .e4m3 {
            (cut, shift, smallest, largest) = (20, 120 << 23, 0x3C80_0000, 0x43E0_0000)
            (most, infinity, adds, growth) = (0x7E, nil, 0x1p14, 0x1p120)
        } else {
            (cut, shift, smallest, largest) = (21, 112 << 23, 0x3880_0000, 0x4760_0000)
            (most, infinity, adds, growth) = (0x7B, 0x7C, 0x1p7, 0x1p112)
        }
    }
}
