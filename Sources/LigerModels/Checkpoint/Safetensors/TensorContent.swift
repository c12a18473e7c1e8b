public import Tile

/// A tensor to be written: its description and a closure that produces its bytes.
public struct TensorContent {
    /// Receives a stretch of bytes; valid only during the call.
    public typealias Consumer = (UnsafeRawBufferPointer) throws -> Void

    /// Its name in the file.
    public let name: String
    /// Its element type in the file.
    public let storedType: StoredType
    /// Extents, outermost first; empty for a scalar.
    public let shape: [Int]
    /// Hands the elements, row-major and little-endian, to the consumer in one or several stretches.
    public let produce: (Consumer) throws -> Void
    /// The stretch of its bytes that `produce` hands over, where others of a team write the rest; nil for all.
    package private(set) var share: Range<Int>?

    /// A tensor whose bytes `produce` hands over when the file is written, so that only one tensor, or one
    /// stretch of it, need be in memory at a time. Extents must not be negative.
    public init(
        name: String, storedType: StoredType, shape: [Int],
        produce: @escaping (_ consume: Consumer) throws -> Void
    ) {
        precondition(shape.allSatisfy { $0 >= 0 }, "negative extent in shape \(shape) of \(name)")
        self.name = name
        self.storedType = storedType
        self.shape = shape
        self.produce = produce
    }

    /// A tensor of a kernel's element type, as above.
    public init(
        name: String, dtype: DType, shape: [Int],
        produce: @escaping (_ consume: Consumer) throws -> Void
    ) {
        self.init(name: name, storedType: StoredType(dtype), shape: shape, produce: produce)
    }

    /// A tensor of which this process writes some elements, row-major, and others of a team the rest.
    package init(
        name: String, dtype: DType, shape: [Int], elements: Range<Int>,
        produce: @escaping (_ consume: Consumer) throws -> Void
    ) {
        self.init(name: name, dtype: dtype, shape: shape, produce: produce)
        share = elements.lowerBound * dtype.byteCount..<elements.upperBound * dtype.byteCount
    }

    /// A tensor whose bytes are at hand.
    public init(name: String, storedType: StoredType, shape: [Int], bytes: [UInt8]) {
        self.init(name: name, storedType: storedType, shape: shape) { consume in
            try bytes.withUnsafeBytes { try consume($0) }
        }
    }

    /// Bytes in the file; nil when the type or the size is beyond the format.
    var byteCount: Int? { TensorEntry.byteCount(of: storedType, shape: shape) }
}
