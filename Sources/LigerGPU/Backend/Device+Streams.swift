package import LigerArrays

extension Device {
    /// Calls another library of the GPU's maker, with the GPU's context current.
    ///
    /// - Parameter body: gets the driver's handle of the stream that work goes to; nil on the processor.
    package func withLibraryStream<Result>(
        _ body: (UnsafeMutableRawPointer?) throws -> Result
    ) throws -> Result {
        guard let backend = backend as? any DriverBackend else { return try body(nil) }
        let context = try backend.device.context()
        try context.throwKept()
        let stream = try context.stream()
        return try context.use { try body(UnsafeMutableRawPointer(bitPattern: stream.number)) }
    }

    /// The library that ranks on such devices exchange arrays through; nil for the processor.
    package var exchangeLibrary: ExchangeLibrary? { (backend as? any DriverBackend)?.exchanges }
}
