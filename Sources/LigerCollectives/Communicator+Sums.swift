package import LigerRuntime
internal import Tile

extension Communicator {
    /// Bytes of arrays whose sums are exchanged together: enough that NCCL moves them at full speed.
    private static let bucketBytes = 64 << 20
    /// Of arrays whose parts are gathered together, which takes no memory: fewer and longer launches of NCCL's kernel, which
    /// takes multiprocessors from products beside it.
    private static let gatheredBytes = 1 << 30

    /// The most that an exchange takes in addition to its arrays.
    package static func ownBytes(ranks: Int) -> Int { ranks == 1 ? 0 : 2 * bucketBytes }

    /// Replaces each array by the sum over all ranks, which is the same on all, bit for bit.
    ///
    /// NCCL moves bytes and adds nothing, so that neither its version nor the wires between GPUs decide how sums round:
    /// every rank gets its part of each array from all others, adds in the order of ranks in fp32, rounds once, and
    /// sends the sums back. That moves what a ring would, 2 (ranks - 1) / ranks of the bytes each way.
    ///
    /// - Parameter arrays: contiguous; of the same shapes on every rank.
    package func sum(_ arrays: [NDArray]) throws {
        guard count > 1 else { return }
        for bucket in buckets(arrays.map { PartedArray(even: $0, ranks: count) }) {
            try add(bucket) { $0.stretch(of: rank) }
            try spread(bucket)
        }
    }

    /// This rank's parts of the sums over all ranks, with the bits that `sum` gives them; the arrays stay as they are.
    ///
    /// - Parameter arrays: of the same shapes and parts on every rank.
    /// - Returns: an array of one dimension for each.
    package func scatter(_ arrays: [PartedArray]) throws -> [NDArray] {
        let sums = try arrays.map { parted in
            let own = parted.part(of: rank)
            let sum = try NDArray(empty: own.shape, dtype: own.dtype, device: device)
            try own.copyBytes(to: sum)
            return sum
        }
        guard count > 1 else { return sums }
        for bucket in buckets(arrays) {
            try add(bucket) { piece in
                sums[piece.index].sliced(0, piece.first..<piece.first + piece.stretch(of: rank).count)
            }
        }
        return sums
    }

    /// Gives every rank the parts of all others.
    ///
    /// - Parameter arrays: of the same shapes and parts on every rank; each has its own part, and gets the rest.
    package func gather(_ arrays: [PartedArray]) throws {
        guard count > 1 else { return }
        let buckets = ArrayPiece.buckets(arrays, ranks: count, bytes: Self.gatheredBytes)
        for bucket in buckets { try spread(bucket) }
    }

    private func buckets(_ arrays: [PartedArray]) -> [[ArrayPiece]] {
        ArrayPiece.buckets(arrays, ranks: count, bytes: Self.bucketBytes)
    }

    private var others: [Int] { (0..<count).filter { $0 != rank } }

    /// Adds the others' elements to those of this rank.
    ///
    /// - Parameter own: this rank's elements of a piece, which become the sums.
    private func add(_ pieces: [ArrayPiece], to own: (ArrayPiece) -> NDArray) throws {
        let received = try pieces.map { piece in
            let elements = piece.stretch(of: rank)
            return try NDArray(empty: [count - 1, elements.count], dtype: elements.dtype, device: device)
        }
        try exchange { exchange in
            for (piece, received) in zip(pieces, received) {
                for (place, peer) in others.enumerated() {
                    try exchange.send(piece.stretch(of: peer), to: peer)
                    try exchange.receive(received.sliced(0, place..<place + 1).flattened, from: peer)
                }
            }
        }
        for (piece, received) in zip(pieces, received) where received.count > 0 {
            try RankSumKernel(others: count - 1, rank: rank, dtype: received.dtype).launch(
                over: own(piece), received)
        }
    }

    /// Gives all ranks the stretches of each.
    private func spread(_ pieces: [ArrayPiece]) throws {
        try exchange { exchange in
            for piece in pieces {
                for peer in others {
                    try exchange.send(piece.stretch(of: rank), to: peer)
                    try exchange.receive(piece.stretch(of: peer), from: peer)
                }
            }
        }
    }
}
