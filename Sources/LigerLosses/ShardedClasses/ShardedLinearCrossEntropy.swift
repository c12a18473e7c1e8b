internal import LigerKernels
package import LigerRuntime
import Tile

/// Ranks of which each has a run of a layer's classes.
package protocol ClassRanks {
    var rank: Int { get }
    var count: Int { get }
    /// Gives every rank the rows of all others: [ranks, n], contiguous; each has its own row, and gets the rest. All call
    /// it in the same order.
    func gather(rows: NDArray) throws
}

/// Cross entropy of the logits of a linear layer whose classes are spread over ranks: the head of a model that no rank has
/// as a whole. Every rank has all tokens and a run of rows of the weight; three numbers a token go between ranks, chunk by
/// chunk, and no logits (`CrossEntropyParts`).
///
/// The gradient of the weight's rows is whole. That of the input is this rank's part: ranks add theirs up.
///
/// Cost: a rank's share of the three products of `FusedLinearCrossEntropy`, and its logits read twice and written twice.
package enum ShardedLinearCrossEntropy {
    package struct Result {
        /// [], f32: the same on all ranks, bit for bit.
        package let loss: NDArray
        /// Each token's part of it, [tokens], f32.
        package let losses: NDArray
        /// Like the input: this rank's part of its gradient; nil where not needed.
        package let dInput: NDArray?
        /// Like the rows of the weight; nil where not needed.
        package let dWeight: NDArray?
        /// What these still have to be multiplied by, where `LinearNeeds.scales` asked for it.
        package let scales: LinearScales
    }

    /// How a call will be cut.
    package static func plan(
        _ layer: LinearShape, budgetBytes: Int?, needs: LinearNeeds, ranks: Int, on device: Device
    ) -> ChunkPlan {
        ChunkPlan(
            layer, needs: needs, exact: true,
            budgetBytes: budgetBytes ?? FusedLinearCrossEntropy.defaultBudgetBytes(on: device),
            lossBytes: CrossEntropyParts.byteCount(rows: layer.tokens)
                + 4 * layer.tokens * (CrossEntropyParts.count * ranks + 2))
    }

    /// - Parameters:
    ///   - input: [..., H], of all tokens: the same on all ranks.
    ///   - weight: [own classes, H].
    ///   - labels: as many as tokens, i64 or i32, of all classes.
    ///   - classes: this rank's.
    ///   - total: classes of all ranks.
    ///   - ranks: those that share them.
    ///   - normaliser: one f32 to divide the summed loss by; nil divides by the number of labels that count.
    /// - Throws: `RuntimeError` if shapes or types do not fit, memory runs out, or ranks cannot exchange.
    package static func forward(
        input: NDArray, weight: NDArray, labels: NDArray, classes: Range<Int>, of total: Int,
        ranks: some ClassRanks, ignoreIndex: Int = -100, budgetBytes: Int? = nil, normaliser: NDArray? = nil,
        needs: LinearNeeds = [.input, .weight]
    ) throws -> Result {
        let linear = try LinearChunks(input: input, weight: weight, bias: nil)
        let layer = linear.shape
        guard layer.vocabulary == classes.count, labels.count == layer.tokens else {
            throw RuntimeError(
                "a part of \(classes.count) classes has a weight of shape \(weight.shape), and \(layer.tokens) tokens "
                    + "have \(labels.count) labels. Give a row for each class, and a label for each token")
        }
        let parts = try CrossEntropyParts(
            labels: labels, classes: classes, of: total, ignoreIndex: ignoreIndex, normaliser: normaliser)
        // All cut tokens alike, whether they have as many classes or not, for each chunk is an exchange.
        var usual = layer
        usual.vocabulary = (total + ranks.count - 1) / ranks.count
        usual.pitch = LogitStorage.pitch(usual.vocabulary, on: input.device)
        let plan = plan(usual, budgetBytes: budgetBytes, needs: needs, ranks: ranks.count, on: input.device)
        let gradients = try linear.run(plan, needs: needs, exact: true) { logits, gradient, rows in
            let found = try NDArray(
                empty: [ranks.count, CrossEntropyParts.count, rows.count], device: input.device)
            try parts.find(
                in: logits, rows,
                into: found.sliced(0, ranks.rank..<ranks.rank + 1)
                    .reshaped([CrossEntropyParts.count, rows.count]))
            try ranks.gather(rows: found.reshaped([ranks.count, CrossEntropyParts.count * rows.count]))
            try parts.finish(
                found, rows, logits: logits, gradient: needs.wantsGradients ? gradient.values : nil,
                scales: gradient.scales)
        }
        return Result(
            loss: try parts.result(), losses: parts.losses, dInput: gradients.input?.reshaped(input.shape),
            dWeight: gradients.weight, scales: gradients.scales)
    }
}
