/// What planning must know of a GPU.
package struct GPULimits: Sendable, Hashable {
    /// Bytes of shared memory that a block may take.
    package var sharedBytes: Int
    /// Threads that run in step and can exchange registers.
    package var warpThreads: Int
    /// Whether blocks that serve a program together can reach each other's shared memory.
    package var hasClusters: Bool
    /// Whether memory is copied into shared memory while threads go on, so that rows can be on their way.
    package var copiesAsynchronously: Bool
    /// Whether kernels that multiply matrices themselves can be written for it.
    package var multiplies: Bool

    package init(
        sharedBytes: Int = 160 << 10, warpThreads: Int = Self.nvidiaWarp, hasClusters: Bool = true,
        copiesAsynchronously: Bool = true, multiplies: Bool = true
    ) {
        self.sharedBytes = sharedBytes
        self.warpThreads = warpThreads
        self.hasClusters = hasClusters
        self.copiesAsynchronously = copiesAsynchronously
        self.multiplies = multiplies
    }

    /// Threads of a warp on every GPU of NVIDIA's.
    package static let nvidiaWarp = 32

    /// Shared memory that tiles may take; the rest is for the exchanges of reductions.
    var tileBytes: Int { sharedBytes - 4096 }
}
