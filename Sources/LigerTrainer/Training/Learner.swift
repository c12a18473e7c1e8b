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
        /// Counted from 1.
        package let number: Int
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
    private let recomputation: Recomputation
    private let usesGraph: Bool
    private var graph: StepGraph?
    private var hasRun = false
    private let results: StepResults
    /// What losses of a step's parts are divided by: the tokens of the step. One f32.
    private let tokensOfStep: NDArray
    /// 1, to add up losses undivided.
    private let one: NDArray

    /// A learner at step 0, from the model's present weights, on the model's device.
    /// - Throws: `RuntimeError` when memory runs out.
    package init(_ model: TrainingModel, stream: TokenStream, options: TrainingOptions) throws {
        self.model = model
        self.stream = stream
        schedule = options.learningRateSchedule
        clip = options.clip > 0 ? Float(options.clip) : nil
        evaluationLimit = options.evaluationBatches
        recomputation = Recomputation(options.execution.recompute)
        usesGraph = options.execution.graph
        for parameter in model.decoder.parameters { parameter.gradientDType = options.execution.gradients }
        optimiser = try AdamWOptimiser(
            model.decoder.parameters,
            AdamWOptimiser.Options(
                beta1: options.beta1, beta2: options.beta2, eps: options.epsilon,
                weightDecay: options.weightDecay),
            storage: AdamWOptimiser.Storage(
                keepsMasters: options.execution.masters == .f32, moments: options.execution.moments))
        results = try StepResults(parts: stream.accumulation, device: model.device)
        let tokens = Float(stream.sequencesPerStep * stream.sequenceLength)
        tokensOfStep = try NDArray([tokens], device: model.device)
        one = try NDArray([1], device: model.device)
    }

    /// Optimiser steps done, or handed to the device.
    package var stepsDone: Int { optimiser.steps }

    /// Tokens that one step trains on.
    package var tokensPerStep: Int { stream.sequencesPerStep * stream.sequenceLength }

    /// Whether the results of steps must be taken before the next.
    package var mustTakeResults: Bool { results.isFull }

    /// Does the next step: forward and backward over every part of its batch, then one update. A GPU may do
    /// it later; `takeResults` says what it came to.
    ///
    /// The parts' losses are divided by the tokens of the whole step, so that accumulated gradients are
    /// those of one large batch. Nothing is read back from the device.
    /// - Throws: what kernels throw when memory runs out.
    package func step() throws {
        let index = optimiser.steps
        let outputs = try gradients(of: (0..<stream.accumulation).map { stream.batch(step: index, part: $0) })
        let rate = schedule.rate(at: index)
        try optimiser.update(learningRate: rate)
        optimiser.clearGradients()
        for (part, loss) in outputs.losses.enumerated() { try results.keep(loss: loss, part: part) }
        try results.endStep(number: index + 1, norm: outputs.norm, learningRate: rate)
    }

    /// Leaves the step's gradients, clipped, with the parameters. With a graph, the first step is done launch by
    /// launch: it compiles kernels and takes the memory that the second, which is captured, uses again.
    private func gradients(of batches: [TokenBatch]) throws -> StepOutputs {
        if let graph {
            for (input, batch) in zip(graph.inputs, batches) { try input.write(batch) }
            try graph.launch()
            return graph.outputs
        }
        let inputs = try batches.map { try BatchArrays($0, on: model.device) }
        guard usesGraph, hasRun else {
            hasRun = true
            return try passes(over: inputs)
        }
        let captured = try StepGraph(
            model.decoder.parameters, inputs, device: model.device, passes(over:))
        graph = captured
        try captured.launch()
        return captured.outputs
    }

    private func passes(over parts: [BatchArrays]) throws -> StepOutputs {
        let losses = try parts.map { part in
            let tape = Tape(recomputing: recomputation)
            let loss = try model.decoder.loss(part.ids, part.labels, normaliser: tokensOfStep, on: tape)
            try tape.backward(loss)
            return loss.value
        }
        return StepOutputs(losses: losses, norm: try optimiser.clippedNorm(clip))
    }

    /// Hands over what the steps since the last call came to, in order, after waiting for the device.
    ///
    /// - Throws: `TrainerError` (`notFinite`) at the first step whose loss, or gradients' norm, is infinite or
    ///   no number: steps before it have been handed over, and the weights are of no use any more; what
    ///   went wrong on the device; what `body` throws.
    package func takeResults(_ body: (Step) throws -> Void) throws {
        for step in try results.read() {
            try Self.checkFinite(step.loss, "loss", step: step.number)
            try Self.checkFinite(step.gradientNorm, "gradient norm", step: step.number)
            try body(step)
        }
    }

    /// Mean loss per token of the evaluation sequences, or of some batches of them, evenly spread, when
    /// there are more than `--eval-batches`. Changes nothing.
    package func evaluate() throws -> Double {
        precondition(stream.evaluationSequences > 0, "no text was kept for evaluation")
        let count = min(evaluationLimit, stream.evaluationBatches)
        var losses: [NDArray] = []
        var tokens = 0
        for index in 0..<count {
            let batch = stream.evaluationBatch(index * stream.evaluationBatches / count)
            let arrays = try BatchArrays(batch, on: model.device)
            let loss = try model.decoder.loss(
                arrays.ids, arrays.labels, normaliser: one, on: Tape(recording: false))
            losses.append(loss.value)
            tokens += batch.inputs.count
        }
        // Read once all are under way.
        return try losses.reduce(0) { try $0 + $1.hostValues()[0] } / Double(tokens)
    }

    private static func checkFinite(_ value: Double, _ name: String, step: Int) throws {
        if value.isFinite { return }
        throw TrainerError(
            .notFinite, "The \(name) is \(value) at step \(step); training cannot go on.",
            remedy: "Lower --lr, lengthen --warmup or set --clip, in a new --out; what was written stays.")
    }
}

extension Recomputation {
    fileprivate init(_ choice: TrainingOptions.Execution.Recomputation) {
        switch choice {
        case .none: self = .none
        case .blocks: self = .blocks
        case .selective: self = .selective
        }
    }
}
