/// How elements lie in memory. Arithmetic never happens in these types: floating point widens to
/// `Float` when loaded and rounds once (to nearest, ties to even) when stored.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    case f32, bf16, f16, i32, i64, u32, u8

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
