package import LigerRuntime
internal import Tile

extension Communicator {
    /// Bytes of arrays that are exchanged together: enough that NCCL moves them at full speed.
    private static let bucketBytes = 64 << 20

    /// The most that an exchange takes in addition to its arrays.
    package static func ownBytes(ranks: Int) -> Int { ranks == 1 ? 0 : 2 * bucketBytes }

    /// Replaces each array by the sum over all ranks, which is the same on all, bit for bit.
    ///
    /// NCCL moves bytes and adds nothing, so that neither its version nor the wires between GPUs decide how sums round:
    /// every rank gets its share of each array from all others, adds in the order of ranks in fp32, rounds once, and
    /// sends the sums back. That moves what a ring would, 2 (ranks - 1) / ranks of the bytes each way.
    ///
    /// - Parameter arrays: contiguous; of the same shapes on every rank.
    package func sum(_ arrays: [NDArray]) throws {
        guard count > 1 else { return }
        for bucket in Self.buckets(arrays.map(\.flattened)) {
            try addShares(of: bucket)
            try spreadShares(of: bucket)
        }
    }

    /// Arrays in their order, or parts of long ones, some at a time.
    private static func buckets(_ arrays: [NDArray]) -> [[NDArray]] {
        var buckets: [[NDArray]] = []
        var bytes = bucketBytes
        for array in arrays {
            let most = bucketBytes / array.dtype.byteCount
            for first in stride(from: 0, to: array.count, by: most) {
                if bytes >= bucketBytes { (buckets, bytes) = (buckets + [[]], 0) }
                let part = array.sliced(0, first..<min(first + most, array.count))
                buckets[buckets.count - 1].append(part)
                bytes += part.byteCount
            }
        }
        return buckets
    }

    /// The elements of a flat array that a rank adds up: whole vectors of 16 bytes, the last rank's fewer.
    func share(of array: NDArray, rank: Int) -> NDArray {
        let vector = 16 / array.dtype.byteCount
        let each = ((array.count + count - 1) / count + vector - 1) / vector * vector
        return array.sliced(0, min(rank * each, array.count)..<min((rank + 1) * each, array.count))
    }

    private var others: [Int] { (0..<count).filter { $0 != rank } }

    /// Leaves the sums of this rank's shares in the arrays.
    private func addShares(of arrays: [NDArray]) throws {
        let received = try arrays.map { array in
            let own = share(of: array, rank: rank)
            return try NDArray(empty: [count - 1, own.count], dtype: array.dtype, device: device)
        }
        try exchange { exchange in
            for (array, received) in zip(arrays, received) {
                for (place, peer) in others.enumerated() {
                    try exchange.send(share(of: array, rank: peer), to: peer)
                    try exchange.receive(received.sliced(0, place..<place + 1).flattened, from: peer)
                }
            }
        }
        for (array, received) in zip(arrays, received) where received.count > 0 {
            try RankSumKernel(others: count - 1, rank: rank, dtype: array.dtype).launch(
                over: share(of: array, rank: rank), received)
        }
    }

    /// Gives all ranks the shares of each.
    private func spreadShares(of arrays: [NDArray]) throws {
        try exchange { exchange in
            for array in arrays {
                for peer in others {
                    try exchange.send(share(of: array, rank: rank), to: peer)
                    try exchange.receive(share(of: array, rank: peer), from: peer)
                }
            }
        }
    }
}
