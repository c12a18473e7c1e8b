package import Tile

/// Memory that a call is run with.
struct CallSlot: Sendable {
    /// The piece of the recording that it replaces; -1 for the workspace, which replaces many.
    let piece: Int
    let byteCount: Int
    let isWritten: Bool
    let alignment: Int
}

/// An array that a call writes and its caller provides.
package struct CallOutput: Sendable {
    package let shape: [Int]
    package let dtype: DType
}
