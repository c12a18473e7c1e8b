public import Tile

/// An element type by its name in a safetensors header, such as `BF16`.
///
/// A file may hold types that no kernel here reads; they are kept by name, so that the rest of the file
/// stays usable, and refused when a tensor of such a type is asked for.
public struct StoredType: RawRepresentable, Sendable, Hashable {
    /// The name in the header.
    public let rawValue: String

    /// The type with this name in a header.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The stored form of a type of the tile language; `u8`, not `BOOL`, for bytes.
    public init(_ dtype: DType) {
        rawValue =
            switch dtype {
            case .f32: "F32"
            case .bf16: "BF16"
            case .f16: "F16"
            case .i32: "I32"
            case .i64: "I64"
            case .u32: "U32"
            case .u8: "U8"
            case .e4m3: "F8_E4M3"
            case .e5m2: "F8_E5M2"
            }
    }

    /// One byte per truth value.
    public static let bool = StoredType(rawValue: "BOOL")

    /// What a kernel reads such elements as (`u8` for `BOOL`); nil when none can. Floats of 8 bits are refused too: without
    /// scales, which others keep in tensors of other names, they would be another model.
    public var dtype: DType? {
        self == .bool ? .u8 : DType.allCases.first { !$0.isFloat8 && StoredType($0) == self }
    }

    /// Bits per element; nil for a name the format does not have.
    public var bitCount: Int? { Self.format[rawValue]?.bitCount }

    /// Place in the order in which the format's own library lays tensors out: the widest first, so that
    /// every tensor is aligned to its element size.
    var layoutRank: Int { Self.format[rawValue]?.rank ?? -1 }

    private static let format: [String: (rank: Int, bitCount: Int)] = {
        let names: [(String, Int)] = [
            ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8),
            ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8),
            ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32),
            ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
        ]
        return Dictionary(
            uniqueKeysWithValues: names.enumerated().map { ($1.0, (rank: $0, bitCount: $1.1)) })
    }()
}
