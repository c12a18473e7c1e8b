/// How elements lie in memory. Arithmetic never happens in these types: floating point widens to
/// `Float` when loaded and rounds once (to nearest, ties to even) when stored.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    /// 32-bit floating point.
    case f32
    /// bfloat16: the exponents of fp32, 8 bits of precision.
    case bf16
    /// IEEE half precision: 11 bits of precision, largest value 65,504.
    case f16
    /// Signed integers; labels and token numbers are i64 or i32.
    case i32, i64
    /// Unsigned 32-bit integers, such as random bits.
    case u32
    /// Bytes, also used for masks.
    case u8
    /// 8 bits with 4 or 5 of exponent (Micikevicius and others, "FP8 formats for deep learning", 2022): e4m3 up to 448
    /// without infinities, e5m2 up to 57,344. What is beyond, infinities too, is stored as the largest number; a NaN
    /// stays one.
    case e4m3, e5m2

    /// Bytes per element.
    public var byteCount: Int {
        switch self {
        case .f32, .i32, .u32: 4
        case .bf16, .f16: 2
        case .i64: 8
        case .u8, .e4m3, .e5m2: 1
        }
    }

    /// Whether values are floating point of a type that operations take unless they say otherwise.
    public var isFloat: Bool { self == .f32 || self == .bf16 || self == .f16 }

    /// Whether values are floating point of 8 bits, which stand for numbers with a scale kept elsewhere.
    public var isFloat8: Bool { self == .e4m3 || self == .e5m2 }

    /// Whether values become `Float` in a kernel.
    public var widensToFloat: Bool { isFloat || isFloat8 }

    /// Distance from 1 to the next larger value; nil for integers.
    public var epsilon: Double? {
        switch self {
        case .f32: 0x1p-23
        case .bf16: 0x1p-7
        case .f16: 0x1p-10
        case .e4m3: 0x1p-3
        case .e5m2: 0x1p-2
        default: nil
        }
    }
}
