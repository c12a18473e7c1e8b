package import Tile
package import TileGPU

/// An architecture of AMD's to print for.
package struct AMDTarget: Hashable, Sendable {
    /// Such as `gfx942`.
    package let name: String
    /// Threads of a wave, AMD's word for a warp.
    let waveThreads: Int
    /// Bytes of local data share (LDS), AMD's word for shared memory, that a block may take.
    let sharedBytes: Int
    /// Whether an instruction rounds to bfloat16.
    var roundsToBF16 = false
    /// Whether minima and maxima that keep NaN are instructions.
    var keepsNaN = false
    /// Whether every compiler that knows the architecture knows `llvm.amdgcn.exp2` and `llvm.amdgcn.log`.
    var hasOwnExponentials = true
    /// By the bits in which two threads' numbers differ: what a move between lanes of a row of 16 says to exchange
    /// their registers (DPP).
    let rowMoves: [Int: Int]

    /// Rows of 16: permutations of each four, and a rotation by half a row.
    private static let rotatingMoves = [1: 0xB1, 2: 0x4E, 8: 0x128]
    /// From RDNA on: any bits.
    private static let anyMoves = [1: 0x161, 2: 0x162, 4: 0x164, 8: 0x168]

    /// MI200, MI300, MI350, Radeon RX 7000 and RX 9000.
    package static let all = [
        AMDTarget(
            name: "gfx90a", waveThreads: 64, sharedBytes: 64 << 10, hasOwnExponentials: false,
            rowMoves: rotatingMoves),
        AMDTarget(name: "gfx942", waveThreads: 64, sharedBytes: 64 << 10, rowMoves: rotatingMoves),
        AMDTarget(
            name: "gfx950", waveThreads: 64, sharedBytes: 160 << 10, roundsToBF16: true, keepsNaN: true,
            rowMoves: rotatingMoves),
        AMDTarget(
            name: "gfx1100", waveThreads: 32, sharedBytes: 64 << 10, hasOwnExponentials: false,
            rowMoves: anyMoves),
        AMDTarget(
            name: "gfx1201", waveThreads: 32, sharedBytes: 64 << 10, keepsNaN: true, rowMoves: anyMoves),
    ]

    /// - Parameter name: such as `gfx942`; nil if nothing is printed for that architecture.
    package init?(_ name: String) {
        guard let target = Self.all.first(where: { $0.name == name }) else { return nil }
        self = target
    }

    private init(
        name: String, waveThreads: Int, sharedBytes: Int, roundsToBF16: Bool = false, keepsNaN: Bool = false,
        hasOwnExponentials: Bool = true, rowMoves: [Int: Int]
    ) {
        self.name = name
        self.waveThreads = waveThreads
        self.sharedBytes = sharedBytes
        self.roundsToBF16 = roundsToBF16
        self.keepsNaN = keepsNaN
        self.hasOwnExponentials = hasOwnExponentials
        self.rowMoves = rowMoves
    }
}

extension AMDTarget: GPUTarget {
    package static var language: String { "llvm" }
    package var description: String { name }

    package var limits: GPULimits {
        GPULimits(
            sharedBytes: sharedBytes, warpThreads: waveThreads, hasClusters: false,
            copiesAsynchronously: false, multiplies: false)
    }

    package func schedule(_ function: TileFunction, layouts: [GPULayout]) -> GPUSchedule {
        GPUSchedule(function, layouts: layouts, warp: waveThreads)
    }

    package func text(_ function: ThreadFunction) throws -> String {
        try LLVMModule([function], target: self).text
    }
}
