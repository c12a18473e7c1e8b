package import LigerArrays
package import Tile
package import TileGPU

/// A kernel loaded on a GPU. How a maker's driver launches it is the conforming type's; what a launch is, is the same.
package protocol DriverKernel: LoadedKernel {
    var kernel: GPUKernel { get }
    var gpu: GPUContext { get }
    var layout: ParameterLayout { get }
    /// Where a program that fails a check notes it.
    var record: ErrorRecords.Record { get }
    /// Over which a product's tiles are dealt out.
    var multiprocessors: Int { get }

    /// Throws what no thread would notice in the arguments.
    func check(programs: Int, _ views: [MemoryView]) throws

    /// What the parameters have of a view besides its address.
    func descriptions(of views: [MemoryView]) throws -> [any AddressDescription]

    /// Hands blocks to a stream. The context must be current.
    ///
    /// - Parameter parameters: as many bytes as the layout has.
    /// - Returns: the driver's code.
    func launch(_ blocks: UInt32, _ stream: OpaquePointer?, _ parameters: UnsafeMutableRawPointer) -> Int32
}

/// Something among a launch's parameters that follows from the address of a view.
package protocol AddressDescription: Sendable {
    /// The view's number.
    var view: Int { get }

    /// Writes it for an address into a launch's parameters.
    func encode(_ address: UnsafeMutableRawPointer?, into parameters: UnsafeMutableRawPointer) throws
}

extension DriverKernel {
    package func check(programs: Int, _ views: [MemoryView]) throws {}

    package func descriptions(of views: [MemoryView]) throws -> [any AddressDescription] { [] }

    /// Hands programs 0 ..< programs to the current stream.
    ///
    /// The arguments must fit the kernel's declaration. Does not wait, unless in strict mode.
    ///
    /// - Throws: ``GPUError`` if the launch, or work before it, failed. A check that a program fails is
    ///   thrown here in strict mode, else when values are next copied to the host.
    package func launch(programs: Int, _ views: [MemoryView], _ scalars: [LaunchScalar]) throws {
        try gpu.throwKept()
        let blocks = try blockCount(programs: programs, views)
        if blocks == 0 { return }
        let descriptions = try descriptions(of: views)
        let stream = try gpu.stream()
        try gpu.use {
            try withUnsafeTemporaryAllocation(byteCount: layout.byteCount, alignment: 64) { memory in
                guard let base = memory.baseAddress else { return }
                layout.pack(
                    views, scalars, programs: programs, record: record.deviceAddress, into: base)
                for each in descriptions { try each.encode(views[each.view].address, into: base) }
                try gpu.check(launch(blocks, stream.handle, base), "launching kernel \(kernel.name)")
            }
            if try gpu.isStrict && !stream.isCapturing() { try gpu.synchronize() }
        }
        signature.counter.increment()
    }

    package func prepared(
        programs: Int, _ arrays: [PlacedArray], _ scalars: [LaunchScalar]
    ) throws -> any PreparedStep {
        try PreparedLaunch(self, programs: programs, arrays: arrays, scalars: scalars)
    }

    /// Blocks of a launch.
    ///
    /// - Throws: `RuntimeError` if they are too many.
    func blockCount(programs: Int, _ views: [MemoryView]) throws -> UInt32 {
        try check(programs: programs, views)
        let blocks = kernel.blocks(programs: programs, views, multiprocessors: multiprocessors)
        guard blocks <= Int(Int32.max) else {
            throw RuntimeError(
                "kernel \(kernel.name): \(programs) programs need \(blocks) blocks, a launch has at most "
                    + "\(Int32.max). Split the work")
        }
        return UInt32(blocks)
    }

    /// The bytes of a launch's parameters.
    func parameters(_ views: [MemoryView], _ scalars: [LaunchScalar], programs: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: layout.byteCount) { memory, count in
            memory.initialize(repeating: 0)
            count = layout.byteCount
            guard let base = UnsafeMutableRawPointer(memory.baseAddress) else { return }
            layout.pack(views, scalars, programs: programs, record: record.deviceAddress, into: base)
        }
    }

    /// Throws what a program of an earlier launch noted, once that launch is done.
    func throwFailure(_ stream: OpaquePointer?) throws {
        if record.words[0] == 0 { return }
        try gpu.check(gpu.functions.synchronizeStream(stream), "waiting for the GPU's work")
        if let error = gpu.records.take() { throw error }
    }

    /// Hands the parameters to `launch` as one block of bytes.
    ///
    /// - Parameter end: what closes the list of keys and values.
    package func withParameterBlock(
        _ parameters: UnsafeMutableRawPointer, end: Int,
        _ launch: (UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Int32
    ) -> Int32 {
        var bytes = layout.byteCount
        return withUnsafeMutablePointer(to: &bytes) { bytes in
            // Keys and their values in turn; the keys are small numbers in the place of pointers.
            withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 5) { extra in
                extra[0] = UnsafeMutableRawPointer(bitPattern: 1)
                extra[1] = parameters
                extra[2] = UnsafeMutableRawPointer(bitPattern: 2)
                extra[3] = UnsafeMutableRawPointer(bytes)
                extra[4] = UnsafeMutableRawPointer(bitPattern: end)
                return launch(extra.baseAddress)
            }
        }
    }
}
