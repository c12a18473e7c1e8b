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
        if let recording = device.recording {
            recording.append(.clear(RecordedArray(self)))
        } else if let cuda = device.cuda {
            try cuda.context().clear(address, bytes: byteCount)
        } else {
            address.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        }
    }

    /// Fills a contiguous array with bytes of the host, in the order of the device's work.
    ///
    /// - Throws: an error of the device.
    package func write(_ source: UnsafeRawBufferPointer) throws {
        precondition(isContiguous && source.count == byteCount, "as many bytes as the array has")
        try requireMemory()
        if let cuda = device.cuda {
            try cuda.context().copyIn(source, to: address)
        } else if let base = source.baseAddress {
            Self.copyOnHost(base, to: address, bytes: byteCount)
        }
    }

    /// Copies the bytes of a contiguous array to the host, after all work before it.
    ///
    /// - Throws: an error of the device, or of a kernel launched before.
    package func read(into target: UnsafeMutableRawBufferPointer) throws {
        precondition(isContiguous && target.count == byteCount, "as many bytes as the array has")
        try requireMemory()
        if let cuda = device.cuda {
            try cuda.context().copyOut(address, to: target)
        } else if let base = target.baseAddress {
            Self.copyOnHost(address, to: base, bytes: byteCount)
        }
    }

    /// Copies the bytes of a contiguous array to another of the same size, of any device.
    ///
    /// - Throws: an error of a device.
    package func copyBytes(to target: NDArray) throws {
        precondition(isContiguous && target.isContiguous && byteCount == target.byteCount, "a like array")
        if let recording = device.recording, recording === target.device.recording {
            return recording.append(.copy(from: RecordedArray(self), to: RecordedArray(target)))
        }
        try requireMemory()
        try target.requireMemory()
        switch (device.cuda, target.device.cuda) {
        case (nil, nil): Self.copyOnHost(address, to: target.address, bytes: byteCount)
        case (nil, _?): try target.write(UnsafeRawBufferPointer(start: address, count: byteCount))
        case (_?, nil):
            try read(into: UnsafeMutableRawBufferPointer(start: target.address, count: byteCount))
        case (let from?, let to?):
            let (source, context) = (try from.context(), try to.context())
            if source === context {
                try context.copy(address, to: target.address, bytes: byteCount)
            } else {
                try context.copy(address, of: source, to: target.address, bytes: byteCount)
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

    /// - Throws: `RuntimeError` if the array's work is recorded, so that it has no values.
    func requireMemory() throws {
        if device.recording != nil {
            throw RuntimeError("an array of shape \(shape) has no values while an operation is prepared")
        }
    }

    /// On all threads.
    private static func copyOnHost(
        _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, bytes: Int
    ) {
        // Pieces are disjoint, and the source is only read.
        nonisolated(unsafe) let (from, to) = (source, target)
        let piece = 1 << 20
        ThreadPool.shared.forEach((bytes + piece - 1) / piece) { i in
            let start = i * piece
            (to + start).copyMemory(from: from + start, byteCount: Swift.min(piece, bytes - start))
        }
    }
}
