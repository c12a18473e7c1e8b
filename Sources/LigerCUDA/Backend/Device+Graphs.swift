package import LigerArrays
import LigerGPU

// Graphs of cuDNN, which is for NVIDIA GPUs alone.
extension Device {
    /// The cuDNN that runs graphs on this device.
    ///
    /// - Throws: `RuntimeError` that says why there is none.
    package func graphLibrary() throws -> CUDNN { try cudaBackend("running cuDNN's graphs").plans.library() }

    /// The plan of a graph on this device; see `CUDNNPlans`.
    ///
    /// - Throws: `RuntimeError` if there is no cuDNN or it does not take the graph.
    package func graphPlan(_ name: String, _ describe: (CUDNNGraph) throws -> Void) throws -> CUDNNPlan {
        let backend = try cudaBackend("running cuDNN's graphs")
        return try backend.gpu.context().gpu.useOutsideCaptures { try backend.plans.plan(name, describe) }
    }

    /// Hands a plan to the current stream, with memory of this device for its workspace.
    ///
    /// - Parameter addresses: of every operand, by name, on this device.
    /// - Throws: `RuntimeError` if memory runs out or the library fails.
    package func run(_ plan: CUDNNPlan, _ addresses: [String: UnsafeMutableRawPointer]) throws {
        let backend = try cudaBackend("running cuDNN's graphs")
        let context = try backend.gpu.context()
        try context.gpu.throwKept()
        let workspace =
            plan.workspaceBytes == 0 ? nil : try Buffer(byteCount: plan.workspaceBytes, device: self)
        let stream = try context.stream()
        try context.use {
            try backend.plans.run(plan, addresses, workspace: workspace?.address, stream: stream)
            if try context.gpu.isStrict && !stream.isCapturing() { try context.gpu.synchronize() }
        }
    }
}
