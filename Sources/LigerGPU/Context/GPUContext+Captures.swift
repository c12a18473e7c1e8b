extension GPUContext {
    /// Runs `body` with this context current, and lets it take memory or load code. Work of a stream that is captured is
    /// captured all the same.
    ///
    /// While another library captures a graph, as PyTorch does, the driver refuses such calls in all threads and drops the
    /// capture, unless a thread says that it knows what it does: what they make outlives the graph.
    package func useOutsideCaptures<Result>(_ body: () throws -> Result) throws -> Result {
        try use {
            var mode = GPUFunctions.captureRelaxed
            try check(functions.exchangeCaptureMode(&mode), "leaving a capture's rules")
            // Puts back what the call above has found.
            defer { _ = functions.exchangeCaptureMode(&mode) }
            return try body()
        }
    }
}
