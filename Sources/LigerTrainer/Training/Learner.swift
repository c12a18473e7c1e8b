package import LigerNN
internal import LigerRuntime
internal import Tile

/// A model, its optimiser, its objective and the data it learns from, one optimiser step at a time.
///
/// A step depends on the weights, the optimiser's state and its number alone: that is all a checkpoint
/// must hold for a resumed run to go on bit for bit.
package final class Learner {
    /// What one step came to.
    package struct Step: Sendable, Equatable {
        /// Counted from 1.
        package let number: Int
        /// The objective's, a mean over the step's tokens, pairs or answers.
        package let loss: Double
        /// Norm of all gradients before clipping.
        package let gradientNorm: Double
        /// The rate that was used.
        package let learningRate: Double
        /// Tokens trained on, padding left out.
        package let tokens: Int
        /// The objective's numbers, added up over the step's parts.
        let figureSums: [Double]
    }

    /// What evaluating came to.
    package struct Evaluation: Sendable, Equatable {
        /// As a step's.
        package let loss: Double
        /// The objective's.
        package let figures: [Figure: Double]
    }

    package let model: TrainingModel
    package let stream: any BatchStream
    private let work: StepWork
    private let schedule: LearningRateSchedule
    private let evaluationLimit: Int
    private let usesGraph: Bool
    private var graph: StepGraph?
    private var hasRun = false
    private let results: StepResults
    package let ranks: Ranks
    private let kind: TrainingOptions.ObjectiveChoice.Kind

    /// A learner at step 0, from the model's present weights, on the model's device.
    ///
    /// - Parameters:
    ///   - stream: deals out the batches of all ranks together.
    ///   - options: of all ranks together.
    ///   - plan: what backward passes compute again; nil for what the options say.
    ///   - ranks: those that learn together.
    /// - Throws: `RuntimeError` when memory runs out.
    package init(
        _ model: TrainingModel, stream: any BatchStream, options: TrainingOptions,
        recomputing plan: RecomputationPlan? = nil, ranks: Ranks = .alone
    ) throws {
        self.model = model
        self.stream = stream
        self.ranks = ranks
        kind = options.objective.kind
        schedule = options.learningRateSchedule
        evaluationLimit = options.evaluationBatches
        usesGraph = options.execution.graph
        let shares = try LossShares(
            passes: stream.accumulation, of: kind, ranks: ranks, on: model.device)
        work = try StepWork(
            model.decoder, asking: model.frozen, shares: shares, options,
            recomputing: plan ?? options.execution.recompute.plan, ranks: ranks)
        results = try StepResults(
            parts: stream.accumulation, figures: work.objective.figureCount, device: model.device)
    }

    var optimiser: AdamWOptimiser { work.optimiser }

    /// Whether a forward pass takes all ranks.
    var gathersWeights: Bool { work.weights != nil || work.classes != nil }

    /// Whether evaluating a batch does.
    private var evaluatesTogether: Bool { gathersWeights || work.objective.takesAllRanks }

    /// Bytes of moments and masters.
    package var stateBytes: Int { optimiser.savedArrays.reduce(0) { $0 + $1.array.byteCount } }

    /// Optimiser steps done, or handed to the device.
    package var stepsDone: Int { optimiser.steps }

    /// Whether the results of steps must be taken before the next.
    package var mustTakeResults: Bool { results.isFull }

    /// Does the next step: forward and backward over every part of its batch, then one update. A GPU may do
    /// it later; `takeResults` says what it came to.
    ///
    /// The parts' losses are divided by the tokens, or the parts, of the whole step, so that accumulated gradients
    /// are those of one large batch. Nothing is read back from the device.
    /// - Throws: what kernels throw when memory runs out.
    package func step() throws {
        let index = optimiser.steps
        let batches = (0..<stream.accumulation).map { stream.batch(step: index, part: $0) }
        try work.shares.write(batches)
        let rate = schedule.rate(at: index)
        optimiser.learningRateInBackward = rate
        let outputs = try gradients(
            of: batches.compactMap { $0.share(of: ranks, rowsPerExample: kind.rowsPerExample) })
        try work.update(learningRate: rate)
        for (part, loss) in outputs.losses.enumerated() { try results.keep(loss: loss, part: part) }
        for (part, figures) in outputs.figures.enumerated() {
            try results.keep(figures: figures, part: part)
        }
        try results.endStep(
            number: index + 1, norm: outputs.norm, learningRate: rate,
            tokens: batches.reduce(0) { $0 + $1.tokens })
    }

    /// Leaves the step's gradients, clipped, with the parameters. With a graph, the first step is done launch by
    /// launch: it compiles kernels and takes the memory that the second, which is captured, uses again.
    private func gradients(of batches: [TokenBatch]) throws -> StepOutputs {
        if let graph {
            for (input, batch) in zip(graph.inputs, batches) { try input.write(batch) }
            try graph.launch()
            return graph.outputs
        }
        let inputs = try batches.map { try arrays($0) }
        guard usesGraph, hasRun else {
            hasRun = true
            return try work.passes(over: inputs)
        }
        let captured = try StepGraph(
            model.decoder.trainedParameters, inputs, device: model.device, work.passes(over:))
        graph = captured
        try captured.launch()
        return captured.outputs
    }

    private func arrays(_ batch: TokenBatch) throws -> BatchArrays {
        try BatchArrays(
            batch, on: model.device, keepingPadding: work.classes != nil,
            counting: model.decoder.routerLossWeight != nil)
    }

    /// What the objective says of a step in addition to its loss.
    package func figures(of step: Step) -> [Figure: Double] {
        work.objective.figures(step.figureSums, batches: stream.accumulation * ranks.count)
    }

    /// Hands over what the steps since the last call came to, in order, after waiting for the device.
    ///
    /// - Throws: `TrainerError` (`notFinite`) at the first step whose loss, or gradients' norm, is infinite or
    ///   no number: steps before it have been handed over, and the weights are of no use any more; what
    ///   went wrong on the device; what `body` throws.
    package func takeResults(_ body: (Step) throws -> Void) throws {
        let steps = try results.read()
        try ranks.check()
        for step in steps {
            try Self.checkFinite(step.loss, "loss", step: step.number)
            try Self.checkFinite(step.gradientNorm, "gradient norm", step: step.number)
            try body(step)
        }
    }

    /// The mean loss of what is kept for evaluation, or of some batches of it, evenly spread, when there are more
    /// than `--eval-batches`. Changes nothing.
    package func evaluate() throws -> Evaluation {
        precondition(stream.evaluationBatches > 0, "nothing was kept for evaluation")
        let count = min(evaluationLimit, stream.evaluationBatches)
        let batches = (0..<count).map { stream.evaluationBatch($0 * stream.evaluationBatches / count) }
        let parts = try batches.compactMap(evaluationPart)
        let results = try parts.map { part in
            let result = try work.objective.loss(
                arrays(part.batch), of: model.decoder, share: part.share, on: Tape(recording: false))
            return (loss: result.loss.value, figures: result.figures)
        }
        // Read once all are under way.
        var total = 0.0
        var sums = [Double](repeating: 0, count: work.objective.figureCount)
        for (part, result) in zip(parts, results) where part.share.counts {
            total += try result.loss.hostValues()[0] * Double(part.weight)
            let numbers = try result.figures.flatMap { try $0.hostValues() }
            for (place, number) in numbers.enumerated() { sums[place] += number }
        }
        let all = try ranks.sum([total] + sums)
        return Evaluation(
            loss: all[0] / Double(batches.reduce(0) { $0 + $1.weight }),
            figures: work.objective.figures(Array(all[1...]), batches: count * ranks.count))
    }

    /// What this rank evaluates of a batch, and what the batch's loss is a mean over; nil for nothing.
    private func evaluationPart(
        of batch: TokenBatch
    ) throws -> (batch: TokenBatch, share: LossShare, weight: Int)? {
        if ranks.count == 1 { return (batch, .all, batch.weight) }
        // Of a head that is spread, each rank needs as many tokens as all others.
        let isWhole = work.classes != nil && !(batch.rows / kind.rowsPerExample).isMultiple(of: ranks.count)
        let own = isWhole ? nil : batch.share(of: ranks, rowsPerExample: kind.rowsPerExample)
        // A rank without a share does a pass that counts for nothing where others need it.
        guard own != nil || evaluatesTogether else { return nil }
        if isWhole {
            let share = LossShare(
                factor: nil, tokens: nil, totals: nil, ranks: ranks, counts: ranks.isFirst)
            return (batch, share, batch.weight)
        }
        let shares = try LossShares(
            passes: 1, of: kind, ranks: ranks, counts: own != nil, on: model.device)
        try shares.write([batch])
        return (own ?? batch, shares.parts[0], batch.weight)
    }

    private static func checkFinite(_ value: Double, _ name: String, step: Int) throws {
        if value.isFinite { return }
        throw TrainerError(
            .notFinite, "The \(name) is \(value) at step \(step); training cannot go on.",
            remedy: step == 1
                ? "Nothing has been learnt yet, so the weights of --model give it, or their rounding: try --dtype f32, "
                    + "or other weights."
                : "Lower --lr, lengthen --warmup or set --clip, in a new --out; what was written stays.")
    }
}
