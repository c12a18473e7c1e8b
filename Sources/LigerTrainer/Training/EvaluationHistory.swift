/// The evaluations of a run so far, as far as they decide what is kept and when it ends.
///
/// It follows from the lines of metrics.jsonl alone, so that a resumed run decides as one that was never stopped.
package struct EvaluationHistory: Sendable, Equatable {
    /// The step and loss of the least loss; the first of equal ones. Losses that are no numbers are never the best.
    package private(set) var best: (step: Int, loss: Double)?
    /// Evaluations since the best one.
    package private(set) var sinceBest = 0

    /// - Parameter lines: of a log, in its order; those about steps are passed over.
    package init(_ lines: some Sequence<MetricsLine>) {
        for line in lines { add(line) }
    }

    /// Whether the line is about an evaluation that is better than all before.
    @discardableResult
    package mutating func add(_ line: MetricsLine) -> Bool {
        guard let loss = line.evaluationLoss else { return false }
        if loss.isFinite, loss < best?.loss ?? .infinity {
            (best, sinceBest) = ((line.step, loss), 0)
            return true
        }
        sinceBest += 1
        return false
    }

    /// Whether so many evaluations in a row were not better than the best; never where that is nil.
    package func isOver(_ patience: Int?) -> Bool { patience.map { sinceBest >= $0 } ?? false }

    package static func == (a: EvaluationHistory, b: EvaluationHistory) -> Bool {
        a.sinceBest == b.sinceBest && a.best?.step == b.best?.step && a.best?.loss == b.best?.loss
    }
}
