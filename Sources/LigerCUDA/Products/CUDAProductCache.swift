import CCUDA
import LigerArrays
import LigerGPU
import Platform
import Synchronization
import Tile

/// The library's handle of a context, the workspace of each stream, and the algorithms chosen so far.
///
/// Owner: its ``CUDABackend``. Any thread may use it. The same product takes the same algorithm for the life of
/// the process, so that its bits repeat. As long as none is chosen by timing they repeat over processes too.
final class CUDAProductCache: Sendable {
    struct Choice: @unchecked Sendable {
        // Numbers that never change, and a plan that is Sendable.
        let plan: CUDAProductPlan
        let algorithm: cublasLtMatmulAlgo_t
    }

    private struct State: @unchecked Sendable {
        // Used under the lock; the library takes its handle on any thread.
        var handle: cublasLtHandle_t?
        var choices: [ColumnMajorProduct: Choice] = [:]
        /// Two products of one stream never overlap in time, so they share a workspace.
        var workspaces: [Int: MemoryBlock] = [:]
    }

    private let state = Mutex(State())

    /// LIGER_TF32=1 lets fp32 products round their factors to 10 bits; off, as it is not exact.
    private let allowsTF32 = ProcessInfo.processInfo.environment["LIGER_TF32"] == "1"
    /// LIGER_TUNE_PRODUCTS=1 times candidates for each product instead of taking the library's favourite.
    private let tunes = ProcessInfo.processInfo.environment["LIGER_TUNE_PRODUCTS"] == "1"

    private let given: CUBLASLt?

    init(_ library: CUBLASLt?) { given = library }

    func library() throws -> CUBLASLt { try given ?? CUBLASLt.load() }

    func handle(_ library: CUBLASLt) throws -> cublasLtHandle_t? {
        try state.withLock { state in
            if state.handle == nil {
                try library.check(library.create(&state.handle), "starting cuBLASLt")
            }
            // The library takes its handle on any thread.
            nonisolated(unsafe) let handle = state.handle
            return handle
        }
    }

    func workspace(_ stream: GPUStream, _ memory: MemoryPool) throws -> UnsafeMutableRawPointer {
        try state.withLock { state in
            if let known = state.workspaces[stream.number] { return known.address }
            let made = try memory.allocate(CUDAProductPlan.workspaceBytes)
            state.workspaces[stream.number] = made
            return made.address
        }
    }

    /// The algorithm for a product, chosen the first time it is asked for.
    ///
    /// - Parameters:
    ///   - addresses: of such a product.
    ///   - wantsSmallTiles: takes, of what the library suggests, the smallest tiles instead of its favourite.
    ///   - time: how long an algorithm takes, nil if it fails.
    func choice(
        for product: ColumnMajorProduct, _ addresses: CUDAProductPlan.Addresses, _ library: CUBLASLt,
        wantsSmallTiles: Bool, isCapturing: Bool,
        time: (CUDAProductPlan, cublasLtMatmulAlgo_t) throws -> Float?
    ) throws -> Choice {
        if let known = state.withLock({ $0.choices[product] }) { return known }
        let allowsTF32 = allowsTF32 && product.first.dtype == .f32
        let plan = try CUDAProductPlan(product, library, allowsTF32: allowsTF32)
        let isTimed = tunes && !isCapturing
        let candidates = try plan.suggestions(
            for: product, addresses, count: isTimed || wantsSmallTiles ? 8 : 1, handle: try handle(library))
        // The more waves of tiles a product takes, the smaller they are.
        let smallest = candidates.max { $0.wavesCount < $1.wavesCount }
        guard let favourite = wantsSmallTiles ? smallest : candidates.first else {
            throw RuntimeError("cuBLASLt \(library.versionText) has no algorithm for \(product)")
        }
        var best = (algorithm: favourite.algo, time: Float.infinity)
        if isTimed {
            for candidate in candidates {
                if let time = try time(plan, candidate.algo), time < best.time {
                    best = (candidate.algo, time)
                }
            }
        }
        let choice = Choice(plan: plan, algorithm: best.algorithm)
        return state.withLock { state in
            // Another thread may have chosen meanwhile: the first choice stands.
            if let known = state.choices[product] { return known }
            state.choices[product] = choice
            return choice
        }
    }
}
