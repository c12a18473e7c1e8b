/// What planning must know of a GPU.
package struct GPULimits: Sendable, Hashable {
    /// Bytes of shared memory that a block may take.
    package var sharedBytes: Int
    /// Threads that run in step and can exchange registers.
    package var warpThreads: Int

    package init(sharedBytes: Int = 160 << 10, warpThreads: Int = Self.nvidiaWarp) {
        self.sharedBytes = sharedBytes
        self.warpThreads = warpThreads
    }

    /// Threads of a warp on every GPU of NVIDIA's.
    package static let nvidiaWarp = 32

    /// Shared memory that tiles may take; the rest is for the exchanges of reductions.
    var tileBytes: Int { sharedBytes - 4096 }
}
