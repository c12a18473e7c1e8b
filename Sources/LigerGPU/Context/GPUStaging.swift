import Synchronization

/// Two pinned pieces of host memory through which copies between host and GPU go, one piece being filled or
/// emptied while the other is under way. From memory that is not pinned the driver would copy at a third of
/// the speed, and wait for the stream first.
///
/// Small uploads, such as a batch's tokens, have a ring of pieces of their own: a piece is waited for only when
/// the ring has come round, so that several steps of a training run may be handed in ahead of the GPU.
///
/// Owner: its back end. Any thread may use it; copies of several threads take turns.
package final class GPUStaging: Sendable {
    static let pieceBytes = 4 << 20
    /// Of the small pieces, and how many there are.
    static let smallBytes = 512 << 10
    static let smallCount = 16

    struct Piece: @unchecked Sendable {
        // Used by one copy at a time: under the lock.
        let memory: UnsafeMutableRawPointer
        let event: GPUEvent
    }

    private struct Ring: Sendable {
        var pieces: [Piece] = []
        var next = 0
    }

    private let pieces = Mutex<[Piece]>([])
    private let ring = Mutex(Ring())

    package init() {}

    /// The small piece that was used longest ago.
    func withSmallPiece(_ context: GPUContext, _ body: (Piece) throws -> Void) throws {
        try ring.withLock { ring in
            if ring.pieces.isEmpty {
                let memory = try context.allocatePinned(Self.smallBytes * Self.smallCount)
                ring.pieces = try (0..<Self.smallCount).map {
                    Piece(
                        memory: memory + $0 * Self.smallBytes,
                        event: try GPUEvent(on: context, timing: false))
                }
            }
            let piece = ring.pieces[ring.next]
            ring.next = (ring.next + 1) % Self.smallCount
            try body(piece)
        }
    }

    func withPieces(_ context: GPUContext, _ body: ([Piece]) throws -> Void) throws {
        try pieces.withLock { pieces in
            while pieces.count < 2 {
                pieces.append(
                    Piece(
                        memory: try context.allocatePinned(Self.pieceBytes),
                        event: try GPUEvent(on: context, timing: false)))
            }
            try body(pieces)
        }
    }
}
