import CCUDA
import LigerArrays
import LigerGPU
import Synchronization

/// The library's handle of a context and the plans made so far.
///
/// Owner: its ``CUDABackend``. Any thread may use it. The same graph keeps its plan, and what was refused stays
/// refused, for the life of the process.
final class CUDNNPlans: Sendable {
    private struct State: @unchecked Sendable {
        // Used under the lock; the library takes its handle on any thread.
        var handle: cudnnHandle_t?
        var plans: [String: Result<CUDNNPlan, any Error>] = [:]
    }

    private let state = Mutex(State())
    private let source: CUDNN.Source

    init(_ source: CUDNN.Source) { self.source = source }

    /// - Throws: `RuntimeError` that says why there is none.
    func library() throws -> CUDNN { try source.library() }

    /// The plan of a graph, made the first time it is asked for: that takes tenths of a second.
    ///
    /// - Parameters:
    ///   - name: tells graphs apart, for people too: `attention of ...`.
    ///   - describe: writes the graph down.
    func plan(_ name: String, _ describe: (CUDNNGraph) throws -> Void) throws -> CUDNNPlan {
        let library = try library()
        return try state.withLock { state in
            if let known = state.plans[name] { return try known.get() }
            let made = Result<CUDNNPlan, any Error> {
                let handle = try Self.handle(&state, library)
                let graph = CUDNNGraph(library)
                try describe(graph)
                return try CUDNNPlan(graph, name, handle: handle)
            }
            state.plans[name] = made
            return try made.get()
        }
    }

    private static func handle(_ state: inout State, _ library: CUDNN) throws -> cudnnHandle_t? {
        if state.handle == nil { try library.check(library.create(&state.handle), "starting cuDNN") }
        return state.handle
    }

    /// A handle has one stream at a time, so runs take turns at handing in their work.
    func run(
        _ plan: CUDNNPlan, _ addresses: [String: UnsafeMutableRawPointer],
        workspace: UnsafeMutableRawPointer?, stream: GPUStream
    ) throws {
        let library = try library()
        // The lock is held until the library has taken the work.
        nonisolated(unsafe) let (addresses, workspace) = (addresses, workspace)
        try state.withLock { state in
            let handle = try Self.handle(&state, library)
            try library.check(library.setStream(handle, stream.handle), "giving cuDNN a stream")
            try plan.run(addresses, workspace: workspace, handle: handle)
        }
    }
}
