internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Platform
internal import Tile

/// An array of which each rank has a part.
struct RankedArray {
    /// This rank's part, in one dimension.
    let own: NDArray
    /// The elements of each rank.
    let parts: [Range<Int>]
}

extension TensorContent {
    /// Some elements of an array of which each rank has a part, which rank 0 writes. Every rank asks for the bytes, in the
    /// same order: the others send theirs meanwhile, and hand over nothing.
    ///
    /// - Parameter elements: of the array.
    /// - Cost: on rank 0 the memory of a piece of 16 MiB on the device.
    init(
        _ name: String, _ array: RankedArray, elements: Range<Int>, shape: [Int], of ranks: Ranks
    ) {
        let (own, first) = (array.own, array.parts[ranks.rank].lowerBound)
        let owned = array.parts.enumerated()
            .map { (owner: $0, part: $1.clamped(to: elements)) }
            .filter { !$0.part.isEmpty && (ranks.isFirst || $0.owner == ranks.rank) }
            .sorted { $0.part.lowerBound < $1.part.lowerBound }
        self.init(name: name, dtype: own.dtype, shape: shape) { consume in
            for (owner, part) in owned {
                for range in NDArray.pieces(of: part.count, own.dtype) {
                    let start = part.lowerBound + range.lowerBound - first
                    let piece =
                        owner == ranks.rank
                        ? own.sliced(0, start..<start + range.count)
                        : try NDArray(empty: [range.count], dtype: own.dtype, device: own.device)
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

extension Ranks {
    /// What is written of a parameter of which each rank has a part; nil for one that all have.
    func content(_ name: String, _ parameter: Parameter, _ elements: Range<Int>, _ shape: [Int])
        -> TensorContent?
    {
        parameter.part.map {
            TensorContent(
                name, RankedArray(own: $0.array, parts: $0.parts), elements: elements, shape: shape, of: self)
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
