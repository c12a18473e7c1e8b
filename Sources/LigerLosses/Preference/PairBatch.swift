import LigerKernels
import LigerRuntime
import Tile

/// One evaluation of a loss over pairs.
struct PairBatch {
    private let formula: FusedLinearPreference.Formula
    private let options: FusedLinearPreference.Options
    private let scorer: SequenceScorer
    private let head: LinearHead
    /// [2 P, T].
    private let labels: NDArray
    /// [2 P, T].
    private let likelihoodLabels: NDArray?
    /// [2 P], f32.
    private let reference: NDArray?
    private let totals: LossTotals?

    init(
        _ formula: FusedLinearPreference.Formula, head: LinearHead, labels: NDArray,
        likelihoodLabels: NDArray?, reference: FusedLinearPreference.ReferenceModel?,
        totals: LossTotals?, _ options: FusedLinearPreference.Options
    ) throws {
        var options = options
        options.averages = options.averages || formula.alwaysAverages
        try formula.check()
        guard options.beta.isFinite, options.likelihoodWeight?.isFinite ?? true else {
            throw RuntimeError(
                "β is \(options.beta) and the likelihood's weight \(options.likelihoodWeight ?? 0). "
                    + "Give finite numbers")
        }
        guard labels.shape.count == 2, labels.shape[0] % 2 == 0, labels.shape[0] > 0, labels.shape[1] > 0
        else {
            throw RuntimeError(
                "labels have shape \(labels.shape). Give [2 P, T]: those of P chosen answers, then of P rejected"
            )
        }
        self.formula = formula
        self.options = options
        self.head = head
        self.labels = labels
        self.totals = totals
        let ownLabels = options.likelihoodWeight == nil ? nil : likelihoodLabels
        try ownLabels?.expect("the likelihood's labels", shape: labels.shape)
        self.likelihoodLabels = ownLabels
        let scorer = try SequenceScorer(head, labels: labels, second: ownLabels, options.sequences)
        let isExact = scorer.isExact
        self.scorer = scorer
        self.reference = try reference.map {
            guard case .dpo = formula else {
                throw RuntimeError("\(formula) has no reference model. Leave it out, or use DPO")
            }
            return try $0.answers(
                labels: labels, averages: options.averages, isExact: isExact, options.sequences)
        }
    }

    func run(needs: LinearNeeds) throws -> FusedLinearPreference.Result {
        let (pairs, device) = (labels.shape[0] / 2, labels.device)
        let shares = try SequenceShares.make(
            labels: labels, units: pairs, likely: (likelihoodLabels ?? labels).sliced(0, 0..<pairs),
            ignoreIndex: options.sequences.ignoreIndex, totals: totals)
        let array = { (shape: [Int]) in try NDArray(empty: shape, device: device) }
        let (losses, nll) = (try array([pairs]), try array([pairs]))
        let (answers, rewards) = (try array([2 * pairs]), try array([2 * pairs]))
        let coefficients = try array(labels.shape)
        let likelihoodCoefficients = try likelihoodLabels.map { try array($0.shape) }
        let odds = formula == .orpo ? try array([pairs, 2]) : nil
        let kernel = PairKernel(
            formula: formula, beta: options.beta, likelihoodWeight: options.likelihoodWeight,
            averages: options.averages, capacity: NDArray.capacity(labels.shape[1]), labels: labels.dtype,
            ignoreIndex: options.sequences.ignoreIndex, hasReference: reference != nil,
            likelihoodLabels: likelihoodLabels?.dtype)
        let units = SequenceScorer.Units(count: pairs, sequences: 2, length: labels.shape[1])
        let (scores, gradients) = try scorer.run(
            units, sumsLogits: true, needs: needs,
            coefficients: TokenCoefficients(coefficients, second: likelihoodCoefficients)
        ) { range, scores in
            try kernel.launch(
                programs: range.count,
                [
                    "log probabilities": scores.logProbs.reshaped(labels.shape), "labels": labels,
                    "shares": shares, "loss": losses, "nll": nll, "answers": answers, "rewards": rewards,
                    "coefficients": coefficients, "reference": reference, "odds": odds,
                    "likelihood": scores.secondLogProbs?.reshaped(labels.shape),
                    "likelihood's labels": likelihoodLabels,
                    "likelihood's coefficients": likelihoodCoefficients,
                ],
                scalars: ["first pair": .index(range.lowerBound)])
        }
        let hasLikelihood = options.likelihoodWeight != nil
        return FusedLinearPreference.Result(
            loss: try Total.apply(losses),
            nll: hasLikelihood ? try Total.apply(nll) : try NDArray.zeros([], device: device),
            logProbabilities: answers, rewards: rewards, logitMeans: try logitMeans(scores),
            oddsMeans: try odds.map { try ColumnSum.apply($0, dtype: .f32) },
            dInput: gradients.input?.reshaped(head.input.shape), dWeight: gradients.weight,
            dBias: gradients.bias, scales: gradients.scales)
    }

    /// The mean logit of the chosen and of the rejected answers.
    private func logitMeans(_ scores: TokenScores) throws -> NDArray {
        guard let sums = scores.logitSums else { preconditionFailure("sums of logits were asked for") }
        let half = sums.count / 2, count = Float(half) * Float(scorer.shape.vocabulary)
        let means = try NDArray(empty: [2], device: labels.device)
        try RowMeans().launch(
            programs: 2, ["x": sums.reshaped([2, half]), "means": means],
            scalars: ["count": .float(count)])
        return means
    }
}

/// The sum of each row over a number; one program a row.
struct RowMeans: TileKernel {
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), means = p.output("means", .f32, rank: 1)
        let count = p.scalar("count"), row = p.index, zero = row * 0, block = 4096
        let total = p.loop(from: zero, to: x.size(1), step: zero + block, carrying: zero.float) {
            start, total in
            total + sum(x[row, p.range(from: start, capacity: block, limit: x.size(1))])
        }
        means[row] = total / count
    }
}
