internal import LigerNN
internal import LigerRuntime
internal import Tile

/// A model, its optimiser and the text it learns from, one optimiser step at a time.
///
/// A step depends on the weights, the optimiser's state and its number alone: that is all a checkpoint
/// must hold for a resumed run to go on bit for bit.
package final class Learner {
    /// What one step came to.
    package struct Step: Sendable, Equatable {
        /// Mean loss per token.
        package let loss: Double
        /// Norm of all gradients before clipping.
        package let gradientNorm: Double
        /// The rate that was used.
        package let learningRate: Double
    }

    package let model: TrainingModel
    package let stream: TokenStream
    let optimiser: AdamWOptimiser
    private let schedule: LearningRateSchedule
    private let clip: Float?
    private let evaluationLimit: Int

    /// A learner at step 0, from the model's present weights.
    /// - Throws: `RuntimeError` when memory runs out.
    package init(_ model: TrainingModel, stream: TokenStream, options: TrainingOptions) throws {
        self.model = model
        self.stream = stream
        schedule = options.learningRateSchedule
        clip = options.clip > 0 ? Float(options.clip) : nil
        evaluationLimit = options.evaluationBatches
        optimiser = try AdamWOptimiser(
            model.decoder.parameters,
            AdamWOptimiser.Options(
                beta1: options.beta1, beta2: options.beta2, eps: options.epsilon,
                weightDecay: options.weightDecay))
    }

    /// Optimiser steps done.
    package var stepsDone: Int { optimiser.steps }

    /// Tokens that one step trains on.
    package var tokensPerStep: Int { stream.sequencesPerStep * stream.sequenceLength }

    /// Does the next step: forward and backward over every part of its batch, then one update.
    ///
    /// The parts' losses are divided by the tokens of the whole step, so that accumulated gradients are
    /// those of one large batch.
    /// - Throws: `TrainerError` (`notFinite`) when the loss, or the gradients' norm, is infinite or no
    ///   number; what kernels throw when memory runs out.
    package func step() throws -> Step {
        let index = optimiser.steps
        let normaliser = try NDArray([Float(tokensPerStep)])
        var loss = 0.0
        for part in 0..<stream.accumulation {
            let tape = Tape()
            let share = try summedLoss(of: stream.batch(step: index, part: part), normaliser, on: tape)
            loss += try finite(Double(share.value.floats[0]), "loss", step: index + 1)
            try tape.backward(share)
        }
        let rate = schedule.rate(at: index)
        let norm = try optimiser.step(learningRate: rate, maximumNorm: clip)
        return Step(
            loss: loss, gradientNorm: try finite(Double(norm.floats[0]), "gradient norm", step: index + 1),
            learningRate: rate)
    }

    /// Mean loss per token of the evaluation sequences, or of some batches of them, evenly spread, when
    /// there are more than `--eval-batches`. Changes nothing.
    package func evaluate() throws -> Double {
        precondition(stream.evaluationSequences > 0, "no text was kept for evaluation")
        let count = min(evaluationLimit, stream.evaluationBatches)
        var total = 0.0
        var tokens = 0
        for index in 0..<count {
            let batch = stream.evaluationBatch(index * stream.evaluationBatches / count)
            let one = try NDArray([Float(1)])
            total += Double(try summedLoss(of: batch, one, on: Tape(recording: false)).value.floats[0])
            tokens += batch.inputs.count
        }
        return total / Double(tokens)
    }

    private func summedLoss(of batch: TokenBatch, _ normaliser: NDArray, on tape: Tape) throws -> Tensor {
        let shape = [batch.rows, batch.sequenceLength]
        let ids = try NDArray(integers: batch.inputs.map(Int.init), shape, dtype: .i32)
        let labels = try NDArray(integers: batch.labels.map(Int.init), shape, dtype: .i64)
        return try model.decoder.loss(ids, labels, normaliser: normaliser, on: tape)
    }

    private func finite(_ value: Double, _ name: String, step: Int) throws -> Double {
        if value.isFinite { return value }
        throw TrainerError(
            .notFinite, "The \(name) is \(value) at step \(step); training cannot go on.",
            remedy: "Lower --lr, lengthen --warmup or set --clip, in a new --out; what was written stays.")
    }
}
