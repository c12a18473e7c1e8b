/// What a lane of a value holds while a kernel computes. Storage types (`DType`) exist only in memory.
public enum ElementKind: String, Sendable, Hashable {
    /// 32-bit float: all floating-point arithmetic.
    case f32
    /// 32-bit integers, wrapping.
    case i32, u32
    /// 64-bit signed integer: positions in views. Scalars only.
    case index
    /// The outcome of a comparison.
    case mask
}

/// Names a value of a function. Each is defined once, by an operation or as a region's argument.
package struct ValueID: Hashable, Sendable, Comparable {
    package let number: Int
    package static func < (a: ValueID, b: ValueID) -> Bool { a.number < b.number }
}

/// Names a length that tiles of a function share; see `Extent`.
package struct ExtentID: Hashable, Sendable {
    package let number: Int
}

/// How many lanes a tile has: exactly `capacity`, or, if `count` is given, the run-time value of that
/// scalar, which is at most `capacity`.
package struct Extent: Hashable, Sendable {
    package var capacity: Int
    package var count: ValueID?
}

/// A value is a scalar (one per program) or a tile of `extent` lanes.
package struct ValueType: Hashable, Sendable {
    package var element: ElementKind
    package var extent: ExtentID?

    package var isTile: Bool { extent != nil }

    package static func scalar(_ element: ElementKind) -> ValueType {
        ValueType(element: element, extent: nil)
    }
}

/// A scalar known when the kernel is compiled. Floats compare by bits, so that -0 is not 0 and a NaN
/// equals itself.
package enum Constant: Hashable, Sendable {
    case f32(bits: UInt32)
    case i32(Int32)
    case u32(UInt32)
    case index(Int)
    case mask(Bool)

    package static func float(_ value: Float) -> Constant { .f32(bits: value.bitPattern) }

    package var element: ElementKind {
        switch self {
        case .f32: .f32
        case .i32: .i32
        case .u32: .u32
        case .index: .index
        case .mask: .mask
        }
    }

    package var float: Float? {
        if case .f32(let bits) = self { Float(bitPattern: bits) } else { nil }
    }
}
