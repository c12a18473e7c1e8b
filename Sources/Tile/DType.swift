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

    /// Bytes per element.
    public var byteCount: Int {
        switch self {
        case .f32, .i32, .u32: 4
        case .bf16, .f16: 2
        case .i64: 8
        case .u8: 1
        }
    }

    /// Whether values are floating point (and so become `Float` in a kernel).
    public var isFloat: Bool { self == .f32 || self == .bf16 || self == .f16 }

    /// Distance from 1 to the next larger value; nil for integers.
    public var epsilon: Double? {
        switch self {
        case .f32: 0x1p-23
        case .bf16: 0x1p-7
        case .f16: 0x1p-10
        default: nil
        }
    }
}
