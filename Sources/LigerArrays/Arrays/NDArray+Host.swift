public import Tile

// Values in and out, element by element: for tests, small inputs and files, not for speed.
extension NDArray {
    /// An array of given values, narrowed to its storage type.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(
        _ values: [Float], _ shape: [Int]? = nil, dtype: DType = .f32, device: Device
    ) throws {
        try self.init(empty: shape ?? [values.count], dtype: dtype, device: device)
        try expectCount(values.count)
        try storeAll { HostElements.store(Double(values[$0]), at: $1, dtype) }
    }

    /// An array of given integers.
    ///
    /// - Throws: `RuntimeError` when memory runs out or the count does not fit the shape.
    public init(
        integers values: [Int], _ shape: [Int]? = nil, dtype: DType = .i64, device: Device
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
        if device.traits.isHost {
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
        if device.traits.isHost { return values(at: address) }
        let span = elementSpan
        let elements = NDArray(
            buffer: buffer, offset: span.lowerBound, shape: [span.count], strides: [1], dtype: dtype)
        let host = UnsafeMutableRawBufferPointer.allocate(byteCount: elements.byteCount, alignment: 16)
        defer { host.deallocate() }
        try elements.read(into: host)
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
            device.backend.keep(error)
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
    package static func bfloat16(_ value: Float) -> UInt16 { HostElements.bfloat16(value) }
}
