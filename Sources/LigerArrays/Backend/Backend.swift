package import Tile

/// What does the work of a device: the processor, a kind of GPU, or a recording. A device has one, and all in which
/// devices differ is behind these verbs, so that a new kind of device is a target that conforms, and nothing else
/// asks which kind it has before it.
///
/// Work is done in the order in which it is handed in. A GPU does it later, and its failures show when something
/// waits for it.
package protocol Backend: AnyObject, Sendable {
    /// What it is, in numbers that choices are made from.
    var traits: DeviceTraits { get }
    /// The pool that its arrays' memory is counted in.
    var memory: MemoryPool { get }

    // MARK: Memory

    /// Takes memory whose contents are not set.
    ///
    /// - Throws: `RuntimeError` when memory runs out; an error of the device if it has failed before.
    func allocate(_ byteCount: Int) throws -> MemoryBlock

    /// Takes memory back, which work handed in before may still use.
    func release(_ block: MemoryBlock)

    /// Sets every byte to zero. Here and below, views are contiguous.
    func clear(_ target: MemoryView) throws

    /// Copies to a view of as many bytes, both in memory of this device.
    func copy(_ source: MemoryView, to target: MemoryView) throws

    /// Copies from another device, neither of them the processor.
    func copy(_ source: MemoryView, of other: any Backend, to target: MemoryView) throws

    /// Copies host memory, which may be reused on return.
    func copyIn(_ source: UnsafeRawBufferPointer, to target: MemoryView) throws

    /// Copies to the host, and waits for that.
    func copyOut(_ source: MemoryView, to target: UnsafeMutableRawBufferPointer) throws

    // MARK: Work

    /// The kernel for views of these layouts, which launches it; compiled where it is not yet known.
    func kernel(_ kernel: some TileKernel, for views: [MemoryView]) throws -> any LoadedKernel

    /// Multiplies matrices.
    func multiply(_ product: Multiplication) throws

    // MARK: Order

    /// Waits for all work handed in.
    func synchronize() throws

    /// Hands what `body` does to a stream of another library, by the driver's handle of it. Where there are no streams
    /// the number means nothing.
    func withStream(_ stream: UInt, _ body: () throws -> Void) throws

    /// Hands in steps that were prepared for this device.
    func run(_ steps: [any PreparedStep], _ addresses: UnsafePointer<UInt>, stream: UInt) throws

    /// Keeps what `work` hands in, without doing it, to be done as a whole.
    ///
    /// - Throws: `RuntimeError` if this kind of device has no such thing.
    func capture(_ work: () throws -> Void) throws -> any CapturedWork

    /// How long the device takes for what `work` hands in.
    func seconds(_ work: () throws -> Void) throws -> Double

    /// Keeps a failure met where nothing can be thrown, for the next call that can throw it.
    func keep(_ error: any Error)

    // MARK: Questions

    /// Into how many parts a sum over many rows is cut; see `Device.partialSums(rowLength:)`.
    func partialSums(rowLength: Int) -> Int

    /// Bytes that a product takes for itself meanwhile, beyond what is there once and for all.
    func workspaceBytes(_ product: Multiplication) -> Int

    /// What the driver says of the device's memory, whoever uses it; nil for the processor.
    func driverMemory() throws -> (free: Int, total: Int)?

    /// What was compiled by another's compiler, with what that took.
    var compilations: [Compilation] { get }

    /// Launches so far, by kernel name.
    var launches: [String: Int] { get }
}

/// Work that a device does as a whole whenever it is launched. The memory that it uses for itself stays reserved while
/// the object lives; arrays that it reads or leaves behind must be kept by the owner.
package protocol CapturedWork: AnyObject, Sendable {
    /// Hands it in.
    func launch() throws
}

/// A kernel as a driver compiled it.
package struct Compilation: Sendable {
    /// The kernel and what tells its specialisations apart, for people.
    package let kernel: String
    /// From Tile IR to a loaded module.
    package let wait: Duration
    /// Bytes a thread beyond what the schedule gives it: registers that were spilled.
    package let spilledBytes: Int

    package init(kernel: String, wait: Duration, spilledBytes: Int) {
        self.kernel = kernel
        self.wait = wait
        self.spilledBytes = spilledBytes
    }
}
