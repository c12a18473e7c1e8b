package import Tile

/// A number bound to a kernel's scalar parameter.
public enum LaunchScalar: Sendable {
    case float(Float)
    case int32(Int32)
    case uint32(UInt32)
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
