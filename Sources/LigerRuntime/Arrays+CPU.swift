public import Tile

// Where no device is named, arrays lie on the processor.

extension Buffer {
    /// Takes memory whose contents are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public convenience init(byteCount: Int) throws { try self.init(byteCount: byteCount, device: .cpu) }
}

extension NDArray {
    /// An array whose elements are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public init(empty shape: [Int], dtype: DType = .f32) throws {
        try self.init(empty: shape, dtype: dtype, device: .cpu)
    }

    /// An array of zeros.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public static func zeros(_ shape: [Int], dtype: DType = .f32) throws -> NDArray {
        try zeros(shape, dtype: dtype, device: .cpu)
    }

    /// An array of given values, narrowed to its storage type.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(_ values: [Float], _ shape: [Int]? = nil, dtype: DType = .f32) throws {
        try self.init(values, shape, dtype: dtype, device: .cpu)
    }

    /// An array of given integers.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(integers values: [Int], _ shape: [Int]? = nil, dtype: DType = .i64) throws {
        try self.init(integers: values, shape, dtype: dtype, device: .cpu)
    }
}
