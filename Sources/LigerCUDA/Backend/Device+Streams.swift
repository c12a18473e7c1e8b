package import LigerArrays

extension Device {
    /// Calls another library of the GPU's maker, with the GPU's context current.
    ///
    /// - Parameter body: gets the driver's handle of the stream that work goes to; nil on the processor.
    package func withLibraryStream<Result>(
        _ body: (UnsafeMutableRawPointer?) throws -> Result
    ) throws -> Result {
        guard let backend = backend as? CUDABackend else { return try body(nil) }
        let context = try backend.gpu.context()
        try context.throwKept()
        let stream = try context.stream()
        return try context.use { try body(UnsafeMutableRawPointer(bitPattern: stream.number)) }
    }
}
