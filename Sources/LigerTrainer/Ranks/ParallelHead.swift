internal import LigerCollectives
internal import LigerKernels
internal import LigerLosses
internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Tile

/// A head of which each rank has a run of classes, for the tokens of all ranks.
///
/// Ranks give each other their hidden states and labels, each finds logits of its classes for all tokens, and the hidden
/// states' gradients are added up and go back to whose they are. The weight's rows, their gradient and the optimiser's
/// state of them stay with one rank: none of them is ever exchanged.
final class ParallelHead: SpreadClasses {
    private let weight: Parameter
    private let ranks: Ranks
    private let classes: Range<Int>

    /// Cuts a decoder's head, of which this rank keeps its rows from now on.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    init(_ decoder: Decoder, ranks: Ranks) throws {
        (weight, self.ranks) = (decoder.head.weight, ranks)
        let parts = Self.parts(of: weight, ranks: ranks.count), columns = weight.shape[1]
        let own = parts[ranks.rank]
        classes = own.lowerBound / columns..<own.upperBound / columns
        try weight.keep(parts, of: ranks.rank)
        for place in decoder.places.suffix(1) { place.place.classes = self }
    }

    /// The elements of each rank: whole rows, and whole blocks of the optimiser's.
    static func parts(of weight: Parameter, ranks: Int) -> [Range<Int>] {
        let (rows, columns) = (weight.shape[0], weight.shape[1])
        var (a, b) = (OptimiserShard.unit, columns)
        while b > 0 { (a, b) = (b, a % b) }
        let step = OptimiserShard.unit / a
        let each = ((rows + ranks - 1) / ranks + step - 1) / step * step
        return (0..<ranks).map { min($0 * each, rows) * columns..<min(($0 + 1) * each, rows) * columns }
    }

    /// Why a model's head cannot be spread over so many ranks; nil where it can.
    static func hindrance(_ decoder: Decoder, ranks: Int) -> String? {
        if decoder.isTied { return "its head's weight is the embedding's, which every rank needs" }
        if decoder.head.softcap != nil { return "its logits are bounded (final_logit_softcapping)" }
        let parts = parts(of: decoder.head.weight, ranks: ranks)
        if parts.contains(where: \.isEmpty) {
            return "its \(decoder.head.weight.shape[0]) classes are too few for \(ranks) ranks"
        }
        return nil
    }

    func loss(
        _ x: Tensor, _ labels: NDArray, _ options: LossOptions, normaliser: NDArray?
    ) throws -> Tensor {
        let rows = x.tape.tensor(ofRowsOf: weight)
        precondition(normaliser != nil || !x.tape.isRecording, "gradients are of the sum over all ranks")
        var needs: LinearNeeds = []
        if x.requiresGradient { needs.insert(.input) }
        if rows.requiresGradient { needs.insert(.weight) }
        let all = try ofAll(x.value)
        let found = try ShardedLinearCrossEntropy.forward(
            input: all, weight: rows.value, labels: ofAll(labels),
            share: ClassShare(ranks: ClassSharers(ranks: ranks), classes: classes, total: weight.shape[0]),
            ignoreIndex: options.ignoreIndex, budgetBytes: options.budgetBytes,
            normaliser: normaliser ?? count(labels, options), needs: needs)
        let tokens = x.shape[0]
        let own = try Total.apply(found.losses.sliced(0, ranks.rank * tokens..<(ranks.rank + 1) * tokens))
        let dInput = try found.dInput.map { try sum($0).reshaped(x.shape) }
        let dWeight = found.dWeight
        return x.tape.record(own, from: [x, rows]) { upstream in
            for gradient in [dInput, dWeight] where !upstream.isOne {
                if let gradient { try CrossEntropy.scale(gradient, by: upstream.array) }
            }
            return [
                dInput.map { .array($0) } ?? .none, dWeight.map { .array($0.flattened) } ?? .none,
            ]
        }
    }

    /// The rows of all ranks, in their order.
    private func ofAll(_ own: NDArray) throws -> NDArray {
        let shape = [ranks.count * own.shape[0]] + own.shape.dropFirst()
        let all = PartedArray(
            try NDArray(empty: shape, dtype: own.dtype, device: own.device), parts: parts(own.count))
        try own.copyBytes(to: all.part(of: ranks.rank))
        try ranks.gather([all])
        return all.array.reshaped(shape)
    }

    /// This rank's rows of the sum over ranks.
    private func sum(_ array: NDArray) throws -> NDArray {
        try ranks.scatter([PartedArray(array, parts: parts(array.count / ranks.count))])[0]
    }

    private func parts(_ each: Int) -> [Range<Int>] {
        (0..<ranks.count).map { $0 * each..<($0 + 1) * each }
    }

    /// How many of this rank's labels count.
    private func count(_ labels: NDArray, _ options: LossOptions) throws -> NDArray {
        // A device that only records has no labels.
        let counted =
            try labels.device.measured == nil
            ? labels.hostValues().count { Int($0) != options.ignoreIndex } : labels.count
        return try NDArray([Float(counted)], device: labels.device)
    }
}

/// The ranks of a run, as those that share classes.
private struct ClassSharers: ClassRanks {
    let ranks: Ranks

    var rank: Int { ranks.rank }
    var count: Int { ranks.count }

    func gather(rows: NDArray) throws {
        let each = rows.count / count
        try ranks.gather([PartedArray(rows, parts: (0..<count).map { $0 * each..<($0 + 1) * each })])
    }
}
