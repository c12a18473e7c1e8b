import Synchronization
import Tile

/// Takes down what an operation does to its device, instead of doing it.
///
/// Arrays on a recording device have addresses that stand for memory: `(piece + 1) << 40`, so that any place
/// in a piece names it. What the operation launches, clears or multiplies is noted with such places;
/// ``RecordedCall`` puts real addresses in their stead, as often as it is run. This works because no
/// operation looks at values on the host.
///
/// Owner: whoever records, on one thread. The recording device's buffers hold it.
package final class Recording: Sendable {
    /// Memory that the operation was given or took.
    struct Piece {
        let byteCount: Int
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
    }

    private static let pieceBits = 40
    private let state = Mutex(State())

    package init() {}

    /// What has been recorded so far.
    var recorded: State { state.withLock { $0 } }

    /// A place that stands for new memory.
    func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let piece = add(byteCount, isTaken: true)
        return Self.address(of: piece)
    }

    /// Notes that a piece is not used any more.
    func release(_ address: UnsafeMutableRawPointer) {
        state.withLock { $0.events.append(.givenUp(Self.place(address).piece)) }
    }

    /// A place that stands for memory handed in, `misalignment` bytes above a multiple of 16.
    func argument(_ byteCount: Int, misalignment: Int) -> UnsafeMutableRawPointer {
        Self.address(of: add(byteCount, isTaken: false)) + misalignment
    }

    private func add(_ byteCount: Int, isTaken: Bool) -> Int {
        state.withLock { state in
            state.pieces.append(Piece(byteCount: byteCount))
            let piece = state.pieces.count - 1
            if isTaken { state.events.append(.taken(piece)) }
            return piece
        }
    }

    func append(_ step: RecordedStep) { state.withLock { $0.steps.append(step) } }

    /// What an address of this recording stands for.
    static func place(_ address: UnsafeMutableRawPointer) -> (piece: Int, offset: Int) {
        let bits = Int(bitPattern: address)
        return ((bits >> pieceBits) - 1, bits & ((1 << pieceBits) - 1))
    }

    private static func address(of piece: Int) -> UnsafeMutableRawPointer {
        guard let address = UnsafeMutableRawPointer(bitPattern: (piece + 1) << pieceBits) else {
            preconditionFailure("a recording has fewer than 2^22 pieces")
        }
        return address
    }
}

/// One thing that a recorded operation does.
enum RecordedStep: Sendable {
    case launch(CompiledKernel, programs: Int, [RecordedArray], [LaunchScalar])
    case clear(RecordedArray)
    case copy(from: RecordedArray, to: RecordedArray)
    case product(RecordedProduct)
}

/// An array of a recording. It does not hold the buffer, so that the recording sees when memory is given up.
struct RecordedArray: Sendable {
    let piece: Int
    /// Bytes from the start of the piece's memory, wherever that is aligned.
    let byteOffset: Int
    let shape: [Int]
    let strides: [Int]
    let dtype: DType

    init(_ array: NDArray) {
        piece = Recording.place(array.address).piece
        byteOffset = array.address - array.buffer.address
        shape = array.shape
        strides = array.strides
        dtype = array.dtype
    }

    /// The array over real memory.
    func at(_ address: UnsafeMutableRawPointer, _ device: Device) -> NDArray {
        let count = shape.reduce(1, *)
        return NDArray(
            buffer: Buffer(borrowing: address, byteCount: count * dtype.byteCount, device: device), offset: 0,
            shape: shape, strides: strides, dtype: dtype)
    }
}

/// A matrix product as it was asked for.
struct RecordedProduct: Sendable {
    let a: RecordedArray
    let b: RecordedArray
    let c: RecordedArray
    let transposeA: Bool
    let transposeB: Bool
    let alpha: Float
    let accumulate: Bool
}
