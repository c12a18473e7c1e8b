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
        try storeAll { HostElements.store(Double(values[$0]), at: $1, dtype) }
    }

    /// An array of given integers.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(
        integers values: [Int], _ shape: [Int]? = nil, dtype: DType = .i64, device: Device = .cpu
    ) throws {
        try self.init(empty: shape ?? [values.count], dtype: dtype, device: device)
        try expectCount(values.count)
        try storeAll { HostElements.store(Double(values[$0]), at: $1, dtype) }
    }

    private func expectCount(_ found: Int) throws {
        if found != count {
            throw RuntimeError("\(found) values for an array of shape \(shape). Give \(count)")
        }
    }

    /// Fills a new, contiguous array through a function that stores the i-th element at a place.
    private func storeAll(_ store: (Int, UnsafeMutableRawPointer) -> Void) throws {
        try requireMemory()
        if device.cuda == nil {
            for i in 0..<count { store(i, address + i * dtype.byteCount) }
            return
        }
        let host = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
        defer { host.deallocate() }
        if let base = host.baseAddress {
            for i in 0..<count { store(i, base + i * dtype.byteCount) }
        }
        try write(UnsafeRawBufferPointer(host))
    }

    /// The elements in row-major order, widened.
    ///
    /// - Throws: an error of the device, or `LaunchError` of a kernel launched before.
    public func hostValues() throws -> [Double] {
        try requireMemory()
        if device.cuda == nil { return values(at: address) }
        let span = elementSpan
        let host = UnsafeMutableRawBufferPointer.allocate(
            byteCount: span.count * dtype.byteCount, alignment: 16)
        defer { host.deallocate() }
        try device.cuda?.context().copyOut(
            buffer.address + span.lowerBound * dtype.byteCount, to: host)
        guard let base = host.baseAddress, count > 0 else { return [] }
        return values(at: base + (offset - span.lowerBound) * dtype.byteCount)
    }

    private func values(at first: UnsafeMutableRawPointer) -> [Double] {
        (0..<count).map { HostElements.load(first + position($0) * dtype.byteCount, dtype) }
    }

    /// The elements in row-major order, widened.
    ///
    /// If a GPU's work failed these are NaN, and the next call to the device that throws throws the failure;
    /// `hostValues()` throws it at once.
    public var doubles: [Double] { valuesOrKeptError ?? Array(repeating: .nan, count: count) }

    /// The elements in row-major order; exact for every floating-point storage type. Failures as in `doubles`.
    public var floats: [Float] { doubles.map { Float($0) } }

    /// The elements in row-major order, as integers. Failures as in `doubles`, with zeros for values.
    public var integers: [Int] { valuesOrKeptError?.map { Int($0) } ?? Array(repeating: 0, count: count) }

    private var valuesOrKeptError: [Double]? {
        do {
            return try hostValues()
        } catch {
            device.cuda?.openedContext?.keep(error)
            return nil
        }
    }

    /// The element offset of the i-th element in row-major order.
    private func position(_ i: Int) -> Int {
        var (rest, element) = (i, 0)
        for dimension in shape.indices.reversed() {
            element += rest % shape[dimension] * strides[dimension]
            rest /= shape[dimension]
        }
        return element
    }

    /// Nearest bfloat16, ties to even; a NaN stays one.
    package static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(bits >> 16) | 0x40 }
        return UInt16((bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
}

/// Elements in host memory.
private enum HostElements {
    static func load(_ place: UnsafeMutableRawPointer, _ dtype: DType) -> Double {
        switch dtype {
        case .f32: Double(place.load(as: Float.self))
        case .bf16: Double(Float(bitPattern: UInt32(place.load(as: UInt16.self)) << 16))
        case .f16: Double(Float(Float16(bitPattern: place.load(as: UInt16.self))))
        case .i32: Double(place.load(as: Int32.self))
        case .i64: Double(place.load(as: Int64.self))
        case .u32: Double(place.load(as: UInt32.self))
        case .u8: Double(place.load(as: UInt8.self))
        }
    }

    static func store(_ value: Double, at place: UnsafeMutableRawPointer, _ dtype: DType) {
        switch dtype {
        case .f32: place.storeBytes(of: Float(value), as: Float.self)
        case .bf16: place.storeBytes(of: NDArray.bfloat16(Float(value)), as: UInt16.self)
        case .f16: place.storeBytes(of: Float16(Float(value)).bitPattern, as: UInt16.self)
        case .i32: place.storeBytes(of: Int32(value), as: Int32.self)
        case .i64: place.storeBytes(of: Int64(value), as: Int64.self)
        case .u32: place.storeBytes(of: UInt32(value), as: UInt32.self)
        case .u8: place.storeBytes(of: UInt8(value), as: UInt8.self)
        }
    }
}
