import LigerKernels
package import LigerRuntime
import Tile

/// Cross entropy of the logits of a linear layer whose classes are spread over ranks: the head of a model that no rank has
/// as a whole. Every rank has all tokens and a run of rows of the weight; some numbers a token go between ranks, chunk by
/// chunk, and no logits. Where the device's kernels multiply, a chunk's logits are exponentials (`SharedExponentials`);
/// else they are stored (`CrossEntropyParts`).
///
/// The gradient of the weight's rows is whole. That of the input is this rank's part: ranks add theirs up.
///
/// Cost: a rank's share of the three products of `FusedLinearCrossEntropy`; stored logits are read twice and written twice.
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

    /// How a call will be cut. All ranks cut tokens alike, whether they have as many classes or not, for each chunk is an
    /// exchange: `layer` is of the most that one has.
    package static func plan(
        _ layer: LinearShape, budgetBytes: Int?, needs: LinearNeeds, ranks: Int, on device: Device
    ) -> ChunkPlan {
        let numbers = 4 * layer.tokens * (CrossEntropyParts.count * (ranks + 1) + 2)
        let lossBytes = CrossEntropyParts.byteCount(rows: layer.tokens) + numbers
        if let budgetBytes {
            return ChunkPlan(layer, needs: needs, exact: true, budgetBytes: budgetBytes, lossBytes: lossBytes)
        }
        return ChunkPlan(
            layer, needs: needs, exact: true,
            deviceBytes: FusedLinearCrossEntropy.defaultBudgetBytes(on: device), lossBytes: lossBytes)
    }

    /// - Parameters:
    ///   - input: [..., H], of all tokens: the same on all ranks.
    ///   - weight: [own classes, H].
    ///   - labels: as many as tokens, i64 or i32, of all classes.
    ///   - share: this rank's classes.
    ///   - normaliser: one f32 to divide the summed loss by; nil divides by the number of labels that count.
    /// - Throws: `RuntimeError` if shapes or types do not fit, memory runs out, or ranks cannot exchange.
    package static func forward(
        input: NDArray, weight: NDArray, labels: NDArray, share: ClassShare, ignoreIndex: Int = -100,
        budgetBytes: Int? = nil, normaliser: NDArray? = nil, needs: LinearNeeds = [.input, .weight]
    ) throws -> Result {
        let linear = try LinearChunks(
            input: input, weight: weight, bias: nil,
            isExponential: needs.wantsGradients
                && LinearChunks.suitExponentials(input, weight, bias: nil))
        let layer = linear.shape
        guard layer.vocabulary == share.classes.count, labels.count == layer.tokens else {
            throw RuntimeError(
                "a part of \(share.classes.count) classes has a weight of shape \(weight.shape), and "
                    + "\(layer.tokens) tokens have \(labels.count) labels. Give a row for each class, and a label "
                    + "for each token")
        }
        // All cut tokens alike, whether they have as many classes or not, for each chunk is an exchange.
        var usual = layer
        usual.vocabulary = (share.total + share.ranks.count - 1) / share.ranks.count
        usual.pitch = LogitStorage.pitch(usual.vocabulary, on: input.device)
        let loss = Loss(
            linear: linear, labels: labels, share: share, ignoreIndex: ignoreIndex, normaliser: normaliser,
            plan: plan(
                usual, budgetBytes: budgetBytes, needs: needs, ranks: share.ranks.count, on: input.device),
            needs: needs)
        let (losses, gradients) = try layer.isExponential ? loss.ofExponentials() : loss.ofLogits()
        return Result(
            loss: try Total.apply(losses), losses: losses,
            dInput: gradients.input?.reshaped(input.shape), dWeight: gradients.weight,
            scales: gradients.scales)
    }

    /// The loss of each token, and gradients: by one way or the other.
    private struct Loss {
        let linear: LinearChunks
        let labels: NDArray
        let share: ClassShare
        let ignoreIndex: Int
        let normaliser: NDArray?
        let plan: ChunkPlan
        let needs: LinearNeeds

        func ofExponentials() throws -> (losses: NDArray, LinearChunks.Gradients) {
            let task = try CrossEntropyTask(
                labels: labels, rows: plan.tokens, classes: share.total, classWeights: nil,
                options: CrossEntropy.Options(ignoreIndex: ignoreIndex), normaliser: normaliser, wants: [],
                device: labels.device)
            let gradients = try linear.runExponentials(
                plan, labels: labels.flattened, options: LabelExponentials.Options(ignoreIndex: ignoreIndex),
                of: share, needs: needs, exact: true
            ) { found, factors, pieces in
                try task.run(nll: found.nll, pieces[0], total: found.total, factors: factors)
            }
            return (task.loss, gradients)
        }

        func ofLogits() throws -> (losses: NDArray, LinearChunks.Gradients) {
            let parts = try CrossEntropyParts(
                labels: labels, classes: share.classes, of: share.total, ignoreIndex: ignoreIndex,
                normaliser: normaliser)
            let gradients = try linear.run(plan, needs: needs, exact: true) { logits, gradient, rows in
                let own = try NDArray(empty: [CrossEntropyParts.count, rows.count], device: labels.device)
                try parts.find(in: logits, rows, into: own)
                try parts.finish(
                    share.ranks.gathered(own), rows, logits: logits,
                    gradient: needs.wantsGradients ? gradient.values : nil, scales: gradient.scales)
            }
            return (parts.losses, gradients)
        }
    }
}
