package import Tile

/// A number bound to a kernel's scalar parameter.
public enum LaunchScalar: Sendable {
    /// For `p.scalar("eps")`, which is fp32.
    case float(Float)
    /// For a scalar declared `as: Int32.self`.
    case int32(Int32)
    /// For a scalar declared `as: UInt32.self`, such as a random seed.
    case uint32(UInt32)
    /// For a scalar declared `as: Int.self`: a position or a count, in 64 bits.
    case index(Int)

    package var constant: Constant {
        switch self {
        case .float(let value): .float(value)
        case .int32(let value): .i32(value)
        case .uint32(let value): .u32(value)
        case .index(let value): .index(value)
        }
    }
}
