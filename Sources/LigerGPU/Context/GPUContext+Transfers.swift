import LigerArrays

// Copies and fills in the context's current stream.
extension GPUContext {
    /// Copies host memory to the GPU. The source may be reused on return; the copy happens in stream order.
    package func copyIn(
        _ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer, through staging: GPUStaging
    ) throws {
        guard let base = source.baseAddress, source.count > 0 else { return }
        try throwKept()
        let stream = try stream()
        try refuseCapture(stream)
        func send(_ start: Int, _ count: Int, through piece: GPUStaging.Piece) throws {
            // Until an earlier copy has left the piece, it may not be overwritten.
            try check(functions.synchronizeEvent(piece.event.handle), "copying to the GPU")
            piece.memory.copyMemory(from: base + start, byteCount: count)
            try check(
                functions.copyToDevice((target + start).deviceAddress, piece.memory, count, stream.handle),
                "copying to the GPU")
            try check(functions.recordEvent(piece.event.handle, stream.handle), "copying to the GPU")
        }
        if source.count <= GPUStaging.smallBytes {
            return try staging.withSmallPiece(self) { piece in
                try use { try send(0, source.count, through: piece) }
            }
        }
        try staging.withPieces(self) { pieces in
            try use {
                for (number, start) in stride(from: 0, to: source.count, by: GPUStaging.pieceBytes)
                    .enumerated()
                {
                    try send(
                        start, min(GPUStaging.pieceBytes, source.count - start), through: pieces[number % 2])
                }
            }
        }
    }

    /// Copies GPU memory to the host and waits for it, and so for all work before it.
    ///
    /// - Throws: ``GPUError`` if that work failed; `LaunchError` if a kernel's program failed a check.
    package func copyOut(
        _ source: UnsafeMutableRawPointer, to target: UnsafeMutableRawBufferPointer,
        through staging: GPUStaging
    ) throws {
        let stream = try stream()
        try refuseCapture(stream)
        if let base = target.baseAddress, target.count > 0 {
            try staging.withPieces(self) { pieces in
                try use { try copyOut(source, base, target.count, pieces, stream) }
            }
        }
        try synchronize()
    }

    private func copyOut(
        _ source: UnsafeMutableRawPointer, _ target: UnsafeMutableRawPointer, _ bytes: Int,
        _ pieces: [GPUStaging.Piece], _ stream: GPUStream
    ) throws {
        let starts = Array(stride(from: 0, to: bytes, by: GPUStaging.pieceBytes))
        func count(_ number: Int) -> Int { min(GPUStaging.pieceBytes, bytes - starts[number]) }
        func begin(_ number: Int) throws {
            let piece = pieces[number % 2]
            // An upload of another stream may still read the piece.
            try check(functions.synchronizeEvent(piece.event.handle), "copying from the GPU")
            try check(
                functions.copyToHost(
                    piece.memory, (source + starts[number]).deviceAddress, count(number), stream.handle),
                "copying from the GPU")
            try check(functions.recordEvent(piece.event.handle, stream.handle), "copying from the GPU")
        }
        try begin(0)
        for number in starts.indices {
            if number + 1 < starts.count { try begin(number + 1) }
            let piece = pieces[number % 2]
            try check(functions.synchronizeEvent(piece.event.handle), "copying from the GPU")
            (target + starts[number]).copyMemory(from: piece.memory, byteCount: count(number))
        }
    }

    /// Copies within the GPU, in stream order.
    package func copy(_ source: UnsafeMutableRawPointer, to target: UnsafeMutableRawPointer, bytes: Int)
        throws
    {
        if bytes == 0 { return }
        try throwKept()
        let stream = try stream()
        try use {
            try check(
                functions.copyOnDevice(target.deviceAddress, source.deviceAddress, bytes, stream.handle),
                "copying within the GPU")
        }
    }

    /// Copies from another GPU: waits for the work there, then copies in this one's stream order.
    package func copy(
        _ source: UnsafeMutableRawPointer, of other: GPUContext, to target: UnsafeMutableRawPointer,
        bytes: Int
    ) throws {
        if bytes == 0 { return }
        try other.synchronize()
        let stream = try stream()
        try use {
            try check(
                binding.copy(
                    source.deviceAddress, of: other.binding, to: target.deviceAddress, bytes: bytes,
                    stream: stream.handle),
                "copying from \(other.name)")
            // The source may be reused on return, in another device's order.
            try stream.synchronize()
        }
    }

    /// Sets bytes to zero, in stream order.
    package func clear(_ target: UnsafeMutableRawPointer, bytes: Int) throws {
        if bytes == 0 { return }
        try throwKept()
        let stream = try stream()
        try use {
            try check(functions.fill(target.deviceAddress, 0, bytes, stream.handle), "clearing memory")
        }
    }

    /// Sets rows of bytes that lie `pitch` apart to zero, in stream order.
    package func clearRows(_ target: UnsafeMutableRawPointer, pitch: Int, width: Int, height: Int) throws {
        if width == 0 || height == 0 { return }
        let stream = try stream()
        try use {
            try check(
                functions.fillRows(target.deviceAddress, pitch, 0, width, height, stream.handle),
                "clearing memory")
        }
    }

    private func refuseCapture(_ stream: GPUStream) throws {
        if try use({ try stream.isCapturing() }) {
            throw RuntimeError(
                "values were copied between host and GPU while a graph is captured. Copy before or after")
        }
    }
}
