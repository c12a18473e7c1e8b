public import Tile

/// Numbers on a device: a buffer seen through a shape, strides and a storage type. Copies share the
/// buffer.
public struct NDArray: Sendable {
    /// The memory, which copies of the array share.
    public private(set) var buffer: Buffer
    /// Elements before the first.
    public let offset: Int
    /// The length of each dimension; [] for a single number.
    public let shape: [Int]
    /// Elements from one position to the next, per dimension.
    public let strides: [Int]
    /// How elements are stored.
    public let dtype: DType

    package init(buffer: Buffer, offset: Int, shape: [Int], strides: [Int], dtype: DType) {
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
    }

    /// An array whose elements are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public init(empty shape: [Int], dtype: DType = .f32, device: Device) throws {
        let count = shape.reduce(1, *)
        precondition(shape.allSatisfy { $0 >= 0 }, "a shape has no negative sizes")
        self.init(
            buffer: try Buffer(byteCount: count * dtype.byteCount, device: device), offset: 0,
            shape: shape, strides: Self.contiguousStrides(shape), dtype: dtype)
    }

    /// An array of zeros.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public static func zeros(_ shape: [Int], dtype: DType = .f32, device: Device) throws -> NDArray {
        let array = try NDArray(empty: shape, dtype: dtype, device: device)
        try array.clear()
        return array
    }

    /// The device whose memory holds it.
    public var device: Device { buffer.device }
    /// The number of elements.
    public var count: Int { shape.reduce(1, *) }
    /// Bytes of its elements.
    public var byteCount: Int { count * dtype.byteCount }
    /// Whether elements lie side by side, last dimension innermost.
    public var isContiguous: Bool {
        // Of nothing, every order is the same: a sum's gradient over no rows has strides of 0.
        if shape.contains(0) { return true }
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() where size != 1 {
            if stride != expected { return false }
            expected *= size
        }
        return true
    }

    /// Whether no other array shares the buffer, so that overwriting it surprises nobody.
    package mutating func isUniquelyOwned() -> Bool { isKnownUniquelyReferenced(&buffer) }

    /// The first element's address, in the device's address space.
    package var address: UnsafeMutableRawPointer { buffer.address + offset * dtype.byteCount }

    /// The first element's address, to be read and written here.
    ///
    /// - Throws: `RuntimeError` if the array does not lie in memory of the host.
    package func hostAddress() throws -> UnsafeMutableRawPointer {
        if device.traits.isHost { return address }
        throw RuntimeError(
            "the processor cannot reach the memory of an array of shape \(shape) on \(device). Copy it there first"
        )
    }

    /// Its memory, for the work of its device. The array must be kept meanwhile.
    package var view: MemoryView {
        MemoryView(address: address, shape: shape, strides: strides, dtype: dtype)
    }

    package static func contiguousStrides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for i in shape.indices.dropLast().reversed() {
            strides[i] = strides[i + 1] * Swift.max(shape[i + 1], 1)
        }
        return strides
    }
}

// MARK: - Other shapes of the same elements

extension NDArray {
    /// The same elements in another shape.
    ///
    /// The array must be contiguous and the count must stay.
    public func reshaped(_ shape: [Int]) -> NDArray {
        precondition(isContiguous, "only a contiguous array can be reshaped")
        precondition(shape.reduce(1, *) == count, "\(self.shape) cannot be reshaped to \(shape)")
        return NDArray(
            buffer: buffer, offset: offset, shape: shape, strides: Self.contiguousStrides(shape),
            dtype: dtype)
    }

    /// All leading dimensions as one: [rows, last dimension]. The array must be contiguous.
    public var rows: NDArray {
        let columns = shape.last ?? 1
        if shape.count == 2 { return self }
        return reshaped([columns == 0 ? 0 : count / columns, columns])
    }

    /// All dimensions as one. The array must be contiguous.
    public var flattened: NDArray { reshaped([count]) }

    /// A part along one dimension, sharing the buffer.
    public func sliced(_ dimension: Int, _ range: Range<Int>) -> NDArray {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= shape[dimension], "a slice within its dimension")
        var shape = shape
        shape[dimension] = range.count
        return NDArray(
            buffer: buffer, offset: offset + range.lowerBound * strides[dimension], shape: shape,
            strides: strides, dtype: dtype)
    }

    /// Two dimensions exchanged, sharing the buffer.
    public func transposed(_ a: Int, _ b: Int) -> NDArray {
        var (shape, strides) = (shape, strides)
        shape.swapAt(a, b)
        strides.swapAt(a, b)
        return NDArray(buffer: buffer, offset: offset, shape: shape, strides: strides, dtype: dtype)
    }
}
