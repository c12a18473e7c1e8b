public import Tile

// Values in and out, element by element: for tests, small inputs and files, not for speed.
extension NDArray {
    /// An array of given values, narrowed to its storage type.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(
        _ values: [Float], _ shape: [Int]? = nil, dtype: DType = .f32, device: Device = .cpu
    ) throws {
        try self.init(empty: shape ?? [values.count], dtype: dtype, device: device)
        try expectCount(values.count)
        for (i, value) in values.enumerated() { store(Double(value), at: i) }
    }

    /// An array of given integers.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(
        integers values: [Int], _ shape: [Int]? = nil, dtype: DType = .i64, device: Device = .cpu
    ) throws {
        try self.init(empty: shape ?? [values.count], dtype: dtype, device: device)
        try expectCount(values.count)
        for (i, value) in values.enumerated() { store(Double(value), at: i) }
    }

    private func expectCount(_ found: Int) throws {
        if found != count {
            throw RuntimeError("\(found) values for an array of shape \(shape). Give \(count)")
        }
    }

    /// The elements in row-major order, widened.
    public var doubles: [Double] {
        (0..<count).map { load(at: position($0)) }
    }

    /// The elements in row-major order; exact for every floating-point storage type.
    public var floats: [Float] { doubles.map { Float($0) } }

    /// The elements in row-major order, as integers.
    public var integers: [Int] { doubles.map { Int($0) } }

    /// The element offset of the i-th element in row-major order.
    private func position(_ i: Int) -> Int {
        var (rest, element) = (i, 0)
        for dimension in shape.indices.reversed() {
            element += rest % shape[dimension] * strides[dimension]
            rest /= shape[dimension]
        }
        return element
    }

    private func load(at element: Int) -> Double {
        let place = address + element * dtype.byteCount
        switch dtype {
        case .f32: return Double(place.load(as: Float.self))
        case .bf16: return Double(Float(bitPattern: UInt32(place.load(as: UInt16.self)) << 16))
        case .f16: return Double(Float(Float16(bitPattern: place.load(as: UInt16.self))))
        case .i32: return Double(place.load(as: Int32.self))
        case .i64: return Double(place.load(as: Int64.self))
        case .u32: return Double(place.load(as: UInt32.self))
        case .u8: return Double(place.load(as: UInt8.self))
        }
    }

    private func store(_ value: Double, at element: Int) {
        let place = address + element * dtype.byteCount
        switch dtype {
        case .f32: place.storeBytes(of: Float(value), as: Float.self)
        case .bf16: place.storeBytes(of: Self.bfloat16(Float(value)), as: UInt16.self)
        case .f16: place.storeBytes(of: Float16(Float(value)).bitPattern, as: UInt16.self)
        case .i32: place.storeBytes(of: Int32(value), as: Int32.self)
        case .i64: place.storeBytes(of: Int64(value), as: Int64.self)
        case .u32: place.storeBytes(of: UInt32(value), as: UInt32.self)
        case .u8: place.storeBytes(of: UInt8(value), as: UInt8.self)
        }
    }

    /// Nearest bfloat16, ties to even; a NaN stays one.
    package static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(bits >> 16) | 0x40 }
        return UInt16((bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
}

extension NDArray {
    /// Copies the bytes of a contiguous array to another of the same size, on all threads.
    package func copyBytes(to target: NDArray) {
        precondition(isContiguous && target.isContiguous && byteCount == target.byteCount, "a like array")
        nonisolated(unsafe) let (from, to) = (address, target.address)
        let piece = 1 << 20
        let total = byteCount
        ThreadPool.shared.forEach((total + piece - 1) / piece) { i in
            let start = i * piece
            (to + start).copyMemory(from: from + start, byteCount: Swift.min(piece, total - start))
        }
    }
}
