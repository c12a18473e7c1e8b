import LigerKernels
import LigerRuntime
import Tile

/// What the routers of one forward pass note for their loss, which is known once the last of them has run
/// (`RouterBalance`), and hands its gradient back to them.
///
/// The loss is the last operation of a pass that is recorded, so its derivative runs before any router's. That holds also
/// where blocks are computed again: a router that runs a second time notes nothing, and finds the gradient here.
package final class RouterNotes {
    private var sums: [NDArray] = []
    /// Experts of a token.
    private var choices = 0
    /// [tokens], i32: 0 for those that do not count, such as padding; nil if all do.
    private let counted: NDArray?
    private var seen: Set<ObjectIdentifier> = []
    /// What `RouterBalance.backward` needs, from the backward pass on.
    private var slopes: (values: NDArray, factor: NDArray)?

    init(counting counted: NDArray?) { self.counted = counted }

    /// Takes down what a router did, unless it has run before.
    func note(_ scores: NDArray, choices: NDArray, of router: Parameter) throws {
        guard seen.insert(ObjectIdentifier(router)).inserted else { return }
        self.choices = choices.shape[1]
        sums.append(try RouterBalance.sums(scores, choices: choices, counted: counted))
    }

    /// A gradient of scores with that of the loss in addition.
    fileprivate func adding(to dScores: NDArray, of scores: NDArray) throws -> NDArray {
        guard let slopes else { return dScores }
        return try RouterBalance.backward(
            dScores: dScores, scores: scores, slopes: slopes.values, counted: counted, factor: slopes.factor)
    }

    /// A loss, with that of the routers in addition where the tape records, and that of the routers alone.
    ///
    /// - Parameters:
    ///   - weight: what the routers' is multiplied by.
    ///   - labels: of the batch: where a step has several, the routers' loss counts by its share of the labels.
    ///   - normaliser: the labels of the step; nil if the batch is all of it.
    func adding(
        to loss: Tensor, weight: Float, labels: NDArray, ignoreIndex: Int, normaliser: NDArray?
    ) throws -> (loss: Tensor, routers: NDArray?) {
        let (own, values) = try RouterBalance.loss(sums, choices: choices)
        sums = []
        guard loss.tape.isRecording else { return (loss, own) }
        let device = own.device
        let count = try normaliser.map { _ in try Reference.countLabels(labels, ignoreIndex: ignoreIndex) }
        let sum = try NDArray(empty: [1], device: device), factor = try NDArray(empty: [1], device: device)
        try AddedLossKernel(hasShare: count != nil).launch(
            programs: 1,
            [
                "loss": loss.value.reshaped([1]), "other": own, "count": count,
                "normaliser": normaliser?.reshaped([1]), "sum": sum, "factor": factor,
            ], scalars: ["weight": .float(weight)])
        let total = loss.tape.record(sum.reshaped(loss.shape), from: [loss]) { [self] upstream in
            slopes = (
                values,
                upstream.isOne
                    ? factor : try Elementary.product(factor, upstream.array.reshaped([1]), .f32)
            )
            return [.array(upstream.array)]
        }
        return (total, own)
    }
}

extension Tensor {
    /// The same scores, whose gradient the loss of routers adds to.
    func watched(by notes: RouterNotes?) -> Tensor {
        guard let notes else { return self }
        let scores = value
        return tape.record(value, from: [self]) { upstream in
            [.array(try notes.adding(to: upstream.array, of: scores))]
        }
    }
}

/// factor = weight count / normaliser, or the weight; sum = loss + factor other.
private struct AddedLossKernel: TileKernel {
    let hasShare: Bool

    func body(_ p: Program) {
        let loss = p.input("loss", .f32, rank: 1), other = p.input("other", .f32, rank: 1)
        let count = hasShare ? p.input("count", .f32, rank: 1) : nil
        let normaliser = hasShare ? p.input("normaliser", .f32, rank: 1) : nil
        let sum = p.output("sum", .f32, rank: 1), factor = p.output("factor", .f32, rank: 1)
        let weight = p.scalar("weight")
        var own = weight
        if let count, let normaliser { own = weight * (count[0] / normaliser[0]) }
        factor[p.index] = own
        sum[p.index] = loss[0] + own * other[0]
    }
}
