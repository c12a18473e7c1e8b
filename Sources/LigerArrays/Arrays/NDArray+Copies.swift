package import Tile

// Whole arrays in and out as bytes, on every device.
extension NDArray {
    /// An array of numbers that lie in host memory as the device stores them.
    ///
    /// - Throws: an error of the device, or when memory runs out.
    package init<Element: BitwiseCopyable>(
        copying values: [Element], _ shape: [Int], dtype: DType, device: Device
    ) throws {
        precondition(MemoryLayout<Element>.stride == dtype.byteCount, "elements of the storage type's size")
        try self.init(empty: shape, dtype: dtype, device: device)
        try values.withUnsafeBytes { try write($0) }
    }

    /// Sets every byte of a contiguous array to zero.
    package func clear() throws {
        precondition(isContiguous, "only a contiguous array can be cleared")
        try device.backend.clear(view)
    }

    /// Fills a contiguous array with bytes of the host, in the order of the device's work.
    ///
    /// - Throws: an error of the device.
    package func write(_ source: UnsafeRawBufferPointer) throws {
        precondition(isContiguous && source.count == byteCount, "as many bytes as the array has")
        try device.backend.copyIn(source, to: view)
    }

    /// Copies the bytes of a contiguous array to the host, after all work before it.
    ///
    /// - Throws: an error of the device, or of a kernel launched before.
    package func read(into target: UnsafeMutableRawBufferPointer) throws {
        precondition(isContiguous && target.count == byteCount, "as many bytes as the array has")
        try device.backend.copyOut(view, to: target)
    }

    /// Copies the bytes of a contiguous array to another of the same size, of any device.
    ///
    /// - Throws: an error of a device.
    package func copyBytes(to target: NDArray) throws {
        precondition(isContiguous && target.isContiguous && byteCount == target.byteCount, "a like array")
        let (from, to) = (device, target.device)
        switch (from.traits.isHost, to.traits.isHost) {
        case (true, true): try to.backend.copy(view, to: target.view)
        case (true, false): try target.write(UnsafeRawBufferPointer(start: address, count: byteCount))
        case (false, true):
            try read(into: UnsafeMutableRawBufferPointer(start: target.address, count: byteCount))
        case (false, false):
            if from === to {
                try to.backend.copy(view, to: target.view)
            } else {
                try to.backend.copy(view, of: from.backend, to: target.view)
            }
        }
    }

    /// A copy of a contiguous array on a device; the array itself if it is there already.
    ///
    /// - Throws: an error of a device.
    package func moved(to device: Device) throws -> NDArray {
        if device === self.device { return self }
        let copy = try NDArray(empty: shape, dtype: dtype, device: device)
        try copyBytes(to: copy)
        return copy
    }
}
