internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Platform

extension TensorContent {
    /// An array of which each rank has a part, which rank 0 writes. Every rank asks for the bytes, in the same order: the
    /// others send theirs meanwhile, and hand over nothing.
    ///
    /// - Cost: on rank 0 the memory of a piece of 16 MiB on the device.
    init(_ saved: AdamWOptimiser.SavedArray, parts: [Range<Int>], of ranks: Ranks) {
        let array = saved.array
        let inOrder = parts.enumerated().filter { !$1.isEmpty }.sorted {
            $0.element.lowerBound < $1.element.lowerBound
        }
        self.init(name: saved.name, dtype: array.dtype, shape: saved.shape) { consume in
            for (owner, part) in inOrder where ranks.isFirst || owner == ranks.rank {
                for range in NDArray.pieces(of: part.count, array.dtype) {
                    let piece =
                        owner == ranks.rank
                        ? array.sliced(0, range)
                        : try NDArray(empty: [range.count], dtype: array.dtype, device: array.device)
                    if !ranks.isFirst {
                        try ranks.send(piece, to: 0)
                        continue
                    }
                    if owner != 0 { try ranks.receive(piece, from: owner) }
                    try piece.withHostBytes(consume)
                }
            }
        }
    }
}

extension NDArray {
    fileprivate func withHostBytes(_ body: TensorContent.Consumer) throws {
        let host = try moved(to: .cpu)
        try withExtendedLifetime(host) {
            try body(UnsafeRawBufferPointer(start: host.hostAddress(), count: host.byteCount))
        }
    }
}
