import FakeCUDA
import LigerRuntime
import Testing
import Tile

/// The fake driver's settings and observations. Suites that use it run one test at a time.
var fake: UnsafeMutablePointer<FakeCUDAState> { fake_cuda_state() }

/// The parent of all suites on the fake driver, which has one state for the process.
@Suite(.serialized) struct FakeCUDATests {}

/// A fresh GPU on a fresh fake driver, with a fake cuDNN if asked for.
func makeFakeDevice(
    strict: Bool = false, memory: Int = 1 << 30, cudnn: Bool = false, driverVersion: Int32 = 13_000
) throws -> Device {
    fake_cuda_reset()
    fake.pointee.driver_version = driverVersion
    fake.pointee.memory_limit = memory
    let driver = try CUDADriver(file: "fake") { fake_cuda_symbol($0) }
    let library = try CUBLASLt(path: "fake") { fake_cuda_symbol($0) }
    let graphs = cudnn ? CUDNN.Source.given(try CUDNN(path: "fake") { fake_cuda_symbol($0) }) : .none
    return Device(
        cuda: try CUDADevice(driver: driver, ordinal: 0, isStrict: strict), library: library, cudnn: graphs)
}

/// The text of what `body` throws; a failure if it throws nothing.
func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        Issue.record("nothing was thrown")
        return ""
    } catch {
        return "\(error)"
    }
}

extension Device {
    /// The GPU's context.
    func context() throws -> CUDAContext { try cuda("the test").context() }
}

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
        messages: ["never", "label {} is out of range"], ptx: "// \(entry)", entry: entry,
        threadsPerBlock: threads, programsPerBlock: programsPerBlock, sharedBytes: shared,
        blocksPerProgram: cluster, isCluster: cluster > 1)
}
