package import LigerArrays
import Synchronization
package import Tile

/// Takes down what an operation does to its device, instead of doing it.
///
/// Arrays on a recording device have addresses that stand for memory: `(piece + 1) << 40`, so that any place
/// in a piece names it. What the operation launches, clears or multiplies is noted with such places;
/// ``RecordedCall`` puts real addresses in their stead, as often as it is run. This works because no
/// operation looks at values on the host: what would is refused.
///
/// Owner: whoever records, on one thread. The recording device's buffers hold it.
package final class Recording: Backend {
    /// Memory that the operation was given or took.
    struct Piece {
        let byteCount: Int
        /// Where it begins above a multiple of 16 bytes.
        let misalignment: Int
    }

    /// When memory was taken and given up, in the order of the operation.
    enum Event {
        case taken(Int)
        case givenUp(Int)
    }

    struct State: Sendable {
        var pieces: [Piece] = []
        var events: [Event] = []
        var steps: [RecordedStep] = []
        var failure: (any Error)?
    }

    package let traits: DeviceTraits
    package let memory: MemoryPool
    /// Does the work when it is run.
    let base: any Backend
    /// The device whose memory is wanted, if the work is never run.
    let measured: Device?
    private static let pieceBits = 40
    private let state = Mutex(State())

    /// Of work to be run on a device.
    package convenience init(for device: Device) { self.init(device, measured: nil) }

    /// Of work that is wanted for the memory that it would take on a device.
    convenience init(measuring device: Device) { self.init(device, measured: device) }

    private init(_ device: Device, measured: Device?) {
        self.measured = measured
        base = device.backend
        memory = base.memory
        var traits = base.traits
        traits.isHost = false
        self.traits = traits
    }

    /// What has been recorded so far.
    ///
    /// - Throws: a failure that was met where nothing could be thrown.
    func recorded() throws -> State {
        let noted = noted
        if let failure = noted.failure { throw failure }
        return noted
    }

    /// The same, whatever failed.
    var noted: State { state.withLock { $0 } }

    private func append(_ step: RecordedStep) { state.withLock { $0.steps.append(step) } }

    // MARK: Places

    /// A place that stands for memory handed in, `misalignment` bytes above a multiple of 16.
    func argument(_ byteCount: Int, misalignment: Int) -> UnsafeMutableRawPointer {
        add(Piece(byteCount: byteCount, misalignment: misalignment), isTaken: false)
    }

    private func add(_ piece: Piece, isTaken: Bool) -> UnsafeMutableRawPointer {
        let number = state.withLock { state in
            state.pieces.append(piece)
            if isTaken { state.events.append(.taken(state.pieces.count - 1)) }
            return state.pieces.count - 1
        }
        guard let address = UnsafeMutableRawPointer(bitPattern: (number + 1) << Self.pieceBits) else {
            preconditionFailure("a recording has fewer than 2^22 pieces")
        }
        return address + piece.misalignment
    }

    /// What an address of this recording stands for: bytes from the start of the piece's memory, wherever that is
    /// aligned.
    func place(_ address: UnsafeMutableRawPointer) -> RecordedPlace {
        let bits = Int(bitPattern: address)
        let piece = (bits >> Self.pieceBits) - 1
        let start = state.withLock { $0.pieces[piece].misalignment }
        return RecordedPlace(piece: piece, byteOffset: (bits & ((1 << Self.pieceBits) - 1)) - start)
    }

    func array(_ view: MemoryView) -> RecordedArray {
        RecordedArray(
            place: place(view.address), shape: view.shape, strides: view.strides, dtype: view.dtype)
    }

    // MARK: Verbs

    package func allocate(_ byteCount: Int) -> MemoryBlock {
        MemoryBlock(
            address: add(Piece(byteCount: byteCount, misalignment: 0), isTaken: true), byteCount: byteCount)
    }

    package func release(_ block: MemoryBlock) {
        let piece = place(block.address).piece
        state.withLock { $0.events.append(.givenUp(piece)) }
    }

    package func clear(_ target: MemoryView) { append(.clear(array(target))) }

    package func copy(_ source: MemoryView, to target: MemoryView) {
        append(.copy(from: array(source), to: array(target)))
    }

    package func multiply(_ product: Multiplication) {
        append(
            .product(
                RecordedProduct(
                    product: product, a: place(product.a.address), b: place(product.b.address),
                    c: place(product.c.address), scaleOfA: product.a.scale.map { place($0) },
                    scaleOfB: product.b.scale.map { place($0) })))
    }

    package func kernel(_ kernel: some TileKernel, for views: [MemoryView]) throws -> any LoadedKernel {
        RecordingKernel(recording: self, kernel: try base.kernel(kernel, for: views))
    }

    /// A kernel whose launches are noted.
    private final class RecordingKernel: LoadedKernel {
        private let recording: Recording
        private let kernel: any LoadedKernel

        init(recording: Recording, kernel: any LoadedKernel) {
            self.recording = recording
            self.kernel = kernel
        }

        var signature: KernelSignature { kernel.signature }

        func launch(programs: Int, _ views: [MemoryView], _ scalars: [LaunchScalar]) {
            recording.append(
                .launch(kernel, programs: programs, views.map { recording.array($0) }, scalars))
        }

        func prepared(
            programs: Int, _ arrays: [PlacedArray], _ scalars: [LaunchScalar]
        ) throws -> any PreparedStep {
            try kernel.prepared(programs: programs, arrays, scalars)
        }
    }

    package func keep(_ error: any Error) {
        state.withLock { $0.failure = $0.failure ?? error }
    }

    package func partialSums(rowLength: Int) -> Int { base.partialSums(rowLength: rowLength) }

    package func workspaceBytes(_ product: Multiplication) -> Int { base.workspaceBytes(product) }

    package func driverMemory() throws -> (free: Int, total: Int)? { try base.driverMemory() }

    package var compilations: [Compilation] { base.compilations }

    package var launches: [String: Int] { base.launches }
}

// What needs values, or the device itself.
extension Recording {
    private func refuse(_ what: String) -> RuntimeError {
        RuntimeError("\(what) while an operation is prepared. Do that before or after")
    }

    private func hasNoValues(_ view: MemoryView) -> RuntimeError {
        refuse("an array of shape \(view.shape) has no values")
    }

    package func copy(_ source: MemoryView, of other: any Backend, to target: MemoryView) throws {
        throw hasNoValues(target)
    }

    package func copyIn(_ source: UnsafeRawBufferPointer, to target: MemoryView) throws {
        throw hasNoValues(target)
    }

    package func copyOut(_ source: MemoryView, to target: UnsafeMutableRawBufferPointer) throws {
        throw hasNoValues(source)
    }

    package func synchronize() throws { throw refuse("\(traits.name) cannot be waited for") }

    package func withStream(_ stream: UInt, _ body: () throws -> Void) throws {
        throw refuse("\(traits.name) takes no work in a stream")
    }

    package func run(
        _ steps: [any PreparedStep], _ addresses: UnsafePointer<UInt>, stream: UInt
    ) throws {
        throw refuse("\(traits.name) runs no prepared call")
    }

    package func capture(_ work: () throws -> Void) throws -> any CapturedWork {
        throw refuse("work of \(traits.name) cannot be captured")
    }

    package func seconds(_ work: () throws -> Void) throws -> Double {
        throw refuse("work of \(traits.name) cannot be timed")
    }
}
