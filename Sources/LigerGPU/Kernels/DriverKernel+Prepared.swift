import LigerArrays
import Tile
import TileGPU

/// A launch on a GPU with everything settled but addresses and stream.
///
/// Owner: its recorded call. Any thread may run it.
final class PreparedLaunch: PreparedStep {
    private struct Patch: Sendable {
        let parameter: Int
        let slot: Int
        let byteOffset: UInt
    }

    private let kernel: any DriverKernel
    private let blocks: UInt32
    /// The parameters, with no place of any array where addresses go.
    private let template: [UInt8]
    private let patches: [Patch]
    private let descriptions: [(description: any AddressDescription, patch: Patch)]

    /// - Throws: `RuntimeError` if the programs are too many for a launch.
    init(
        _ kernel: any DriverKernel, programs: Int, arrays: [PlacedArray], scalars: [LaunchScalar]
    ) throws {
        self.kernel = kernel
        // An array's address is written over this.
        var nowhere: UInt8 = 0
        let views = withUnsafeMutableBytes(of: &nowhere) { nowhere in
            nowhere.baseAddress.map { address in
                arrays.map {
                    MemoryView(address: address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
                }
            } ?? []
        }
        blocks = try kernel.blockCount(programs: programs, views)
        template = kernel.parameters(views, scalars, programs: programs)
        let patches = zip(kernel.layout.views, arrays).map {
            Patch(parameter: $0, slot: $1.place.slot, byteOffset: UInt(bitPattern: $1.place.byteOffset))
        }
        self.patches = patches
        descriptions =
            blocks == 0 ? [] : try kernel.descriptions(of: views).map { ($0, patches[$0.view]) }
    }

    /// Hands the launch to a stream. The context must be current.
    ///
    /// - Throws: ``GPUError`` if the driver refuses; `LaunchError` if a program of an earlier launch failed a
    ///   check.
    func run(_ addresses: UnsafePointer<UInt>, stream: UInt) throws {
        let stream = OpaquePointer(bitPattern: stream)
        try kernel.throwFailure(stream)
        if blocks == 0 { return }
        try withUnsafeTemporaryAllocation(byteCount: template.count, alignment: 64) { memory in
            guard let base = memory.baseAddress else { return }
            template.withUnsafeBytes {
                base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(base), byteCount: $0.count)
            }
            for patch in patches {
                base.storeBytes(
                    of: UInt64(addresses[patch.slot] &+ patch.byteOffset), toByteOffset: patch.parameter,
                    as: UInt64.self)
            }
            for (description, patch) in descriptions {
                let address = addresses[patch.slot] &+ patch.byteOffset
                try description.encode(UnsafeMutableRawPointer(bitPattern: address), into: base)
            }
            let code = kernel.launch(blocks, stream, base)
            if code != GPUFunctions.success {
                try kernel.gpu.check(code, "launching kernel \(kernel.kernel.name)")
            }
        }
        kernel.signature.counter.increment()
    }
}
