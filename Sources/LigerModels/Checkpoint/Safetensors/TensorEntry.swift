public import Tile

/// What a file says about one tensor.
public struct TensorEntry: Sendable, Hashable {
    /// The element type as the file names it.
    public let storedType: StoredType
    /// Extents, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The place of the elements in the file, row-major and little-endian.
    public let byteRange: Range<Int>

    /// What a kernel reads the elements as; nil when the type is not supported here.
    public var dtype: DType? { storedType.dtype }

    /// Product of the extents; 1 for a scalar.
    public var elementCount: Int { shape.reduce(1, *) }

    /// Bytes of this many elements, nil when a product overflows, the type is unknown, or elements of less
    /// than a byte do not fill whole bytes.
    static func byteCount(of type: StoredType, shape: [Int]) -> Int? {
        guard let bitCount = type.bitCount, let bits = product(shape, times: bitCount),
            bits.isMultiple(of: 8)
        else { return nil }
        return bits / 8
    }

    /// Product of `shape` and `factor`; nil when it overflows on the way.
    static func product(_ shape: [Int], times factor: Int = 1) -> Int? {
        var result = 1
        for extent in shape + [factor] {
            let (value, overflow) = result.multipliedReportingOverflow(by: extent)
            if overflow { return nil }
            result = value
        }
        return result
    }
}
