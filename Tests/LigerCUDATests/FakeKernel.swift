import LigerRuntime
import Tile

/// Declares what the tests' kernels take; what they do is the fake driver's business.
private struct Declarations: TileKernel {
    let takesAll: Bool

    func body(_ p: Program) {
        let x = takesAll ? p.input("x", .bf16, rank: 2) : p.input("x", .f32, rank: 1)
        let y = p.update("y", .f32, rank: 1)
        if takesAll {
            _ = (p.scalar("a"), p.scalar("n", as: Int.self), p.scalar("k", as: Int32.self))
            _ = p.scalar("u", as: UInt32.self)
            y[p.index] = x[p.index, p.index]
        } else {
            y[p.index] = x[p.index]
        }
    }
}

/// A kernel whose entry the fake driver knows by name. It takes x and y of rank 1, both f32; or a bf16 matrix
/// x, y and one scalar of each kind.
func kernel(
    _ entry: String, takesAll: Bool = false, programsPerBlock: Int = 4, threads: Int = 128, shared: Int = 0,
    cluster: Int = 1
) throws -> GPUKernel {
    let declared = try TileFunction.record(Declarations(takesAll: takesAll))
    return GPUKernel(
        name: entry, views: declared.views, scalars: declared.scalars,
        messages: ["never", "label {} is out of range"], text: "// \(entry)", entry: entry,
        threadsPerBlock: threads, programsPerBlock: programsPerBlock, sharedBytes: shared,
        blocksPerProgram: cluster, isCluster: cluster > 1)
}
