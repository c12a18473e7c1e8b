package import LigerArrays
package import Tile

/// The back end of a GPU through its maker's driver. What differs is which kernels are compiled and who multiplies; all
/// else is here.
package protocol DriverBackend: Backend {
    var device: LazyContext { get }
    var staging: GPUStaging { get }
    /// Over which sums over many rows are dealt out.
    var multiprocessors: Int { get }
    /// The library that ranks exchange arrays through.
    var exchanges: ExchangeLibrary { get }
}

extension DriverBackend {
    package func allocate(_ byteCount: Int) throws -> MemoryBlock { try memory.allocate(byteCount) }

    package func release(_ block: MemoryBlock) { memory.release(block) }

    package func clear(_ target: MemoryView) throws {
        try device.context().clear(target.address, bytes: target.byteCount)
    }

    package func copy(_ source: MemoryView, to target: MemoryView) throws {
        try device.context().copy(source.address, to: target.address, bytes: source.byteCount)
    }

    package func copy(_ source: MemoryView, of other: any Backend, to target: MemoryView) throws {
        guard let other = other as? Self else {
            let host = UnsafeMutableRawBufferPointer.allocate(byteCount: source.byteCount, alignment: 16)
            defer { host.deallocate() }
            try other.copyOut(source, to: host)
            return try copyIn(UnsafeRawBufferPointer(host), to: target)
        }
        try device.context().copy(
            source.address, of: other.device.context(), to: target.address, bytes: source.byteCount)
    }

    package func copyIn(_ source: UnsafeRawBufferPointer, to target: MemoryView) throws {
        try device.context().copyIn(source, to: target.address, through: staging)
    }

    package func copyOut(_ source: MemoryView, to target: UnsafeMutableRawBufferPointer) throws {
        try device.context().copyOut(source.address, to: target, through: staging)
    }

    package func synchronize() throws { try device.context().synchronize() }

    package func withStream(_ stream: UInt, _ body: () throws -> Void) throws {
        try GPUStream.$given.withValue(
            GPUStream(borrowing: stream, on: device.context()), operation: body)
    }

    package func run(
        _ steps: [any PreparedStep], _ addresses: UnsafePointer<UInt>, stream: UInt
    ) throws {
        let context = try device.context()
        try context.throwKept()
        try context.use {
            for step in steps { try step.run(addresses, stream: stream) }
        }
        if context.isStrict {
            try withStream(stream) {
                if try context.use({ try !context.stream().isCapturing() }) { try context.synchronize() }
            }
        }
    }

    package func capture(_ work: () throws -> Void) throws -> any CapturedWork {
        try GPUGraph(capturing: device.context(), memory, work)
    }

    package func seconds(_ work: () throws -> Void) throws -> Double {
        let context = try device.context()
        let (start, end) = (try GPUEvent(on: context), try GPUEvent(on: context))
        let stream = try context.stream()
        try start.record(in: stream)
        try work()
        try end.record(in: stream)
        try end.synchronize()
        return Double(try end.milliseconds(since: start)) / 1e3
    }

    package func keep(_ error: any Error) { device.openedContext?.keep(error) }

    /// Short rows take few threads: more of them fit at a time.
    package func partialSums(rowLength: Int) -> Int {
        2 * multiprocessors * max(1, 2048 / max(rowLength, 1))
    }

    /// The library's workspace stays.
    package func workspaceBytes(_ product: Multiplication) -> Int { 0 }

    package func driverMemory() throws -> (free: Int, total: Int)? {
        try device.context().memoryInformation()
    }
}
