package import LigerModels
package import LigerNN
internal import LigerRuntime
internal import Tile

/// Ranks write a checkpoint together: each the elements that it alone has, and an even share of what all have.
extension Ranks: CheckpointTeam {
    /// Elements of fewer bytes than a message costs; of so few rank 0 writes all.
    private static let dealt = 1 << 14

    /// The ranks that write files together; nil where there is one.
    var team: Ranks? { count > 1 ? self : nil }

    package func told(path: () -> String) throws -> String { try told(path) }

    package func content(
        _ name: String, _ parameter: Parameter, _ elements: Range<Int>, _ shape: [Int]
    ) -> TensorContent {
        if let part = parameter.part {
            return content(name, part.array, of: part.range, writing: part.range, elements, shape)
        }
        return content(
            name, parameter.value.flattened, of: 0..<parameter.count, writing: share(of: elements), elements,
            shape)
    }

    /// What this rank writes of the optimiser's state.
    func content(_ saved: AdamWOptimiser.SavedArray) -> TensorContent {
        let elements = 0..<saved.shape.reduce(1, *), own = saved.parts?[rank]
        return content(
            saved.name, saved.array.flattened, of: own ?? elements, writing: own ?? share(of: elements),
            elements, saved.shape)
    }

    private func share(of elements: Range<Int>) -> Range<Int> {
        let first = elements.lowerBound, size = elements.count
        guard size >= Self.dealt else { return first..<(isFirst ? elements.upperBound : first) }
        return first + size * rank / count..<first + size * (rank + 1) / count
    }

    /// - Parameters:
    ///   - array: in one dimension, the elements `held` of a parameter.
    ///   - written: those that this rank writes, as far as they are among `elements`.
    ///   - elements: of what is written as a tensor of this name.
    private func content(
        _ name: String, _ array: NDArray, of held: Range<Int>, writing written: Range<Int>,
        _ elements: Range<Int>, _ shape: [Int]
    ) -> TensorContent {
        let own = written.clamped(to: elements), first = elements.lowerBound
        return TensorContent(
            name: name, dtype: array.dtype, shape: shape,
            elements: own.lowerBound - first..<own.upperBound - first
        ) { consume in
            for range in NDArray.pieces(of: own.count, array.dtype) {
                let start = own.lowerBound - held.lowerBound + range.lowerBound
                let host = try array.sliced(0, start..<start + range.count).moved(to: .cpu)
                try withExtendedLifetime(host) {
                    try consume(UnsafeRawBufferPointer(start: host.hostAddress(), count: host.byteCount))
                }
            }
        }
    }
}
