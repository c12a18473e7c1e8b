internal import LigerLosses
internal import LigerRuntime

/// What a batch's loss is divided by, so that the losses of all parts, which are those of a step on all ranks, add up to that
/// of one large batch.
package struct LossShare {
    /// One f32: 1 / parts, for a loss that is a mean over its batch; nil is 1.
    let factor: NDArray?
    /// One f32: the tokens that count of all parts, for a mean over tokens; nil is the batch's own.
    let tokens: NDArray?
    /// What means of a loss with that factor are over; nil is the batch's own sequences and tokens.
    let totals: LossTotals?
    /// Those with other rows of this batch.
    let ranks: Ranks
    /// Whether the loss is one of those that are added up. Otherwise it is computed for other ranks' sake.
    let counts: Bool

    /// A batch that stands for itself.
    static var all: LossShare {
        LossShare(factor: nil, tokens: nil, totals: nil, ranks: .alone, counts: true)
    }
}

/// The shares of the parts of a step, or of a batch that ranks evaluate together.
///
/// Numbers are written before a step, from the batches of all ranks, which every rank has: nothing is exchanged for them.
final class LossShares {
    /// Of each pass of this rank, in order.
    let parts: [LossShare]
    private let numbers: NDArray
    private let ranks: Int
    private let kind: TrainingOptions.ObjectiveChoice.Kind
    private var written: [Float] = []

    /// Shares whose numbers are not written yet.
    ///
    /// - Parameters:
    ///   - passes: of each rank.
    ///   - counts: whether this rank's are added up.
    init(
        passes: Int, of kind: TrainingOptions.ObjectiveChoice.Kind, ranks: Ranks, counts: Bool = true,
        on device: Device
    ) throws {
        (self.ranks, self.kind) = (ranks.count, kind)
        let numbers = try NDArray(empty: [5 + passes], device: device)
        func number(_ place: Int) -> NDArray { numbers.sliced(0, place..<place + 1) }
        parts = (0..<passes).map { pass in
            LossShare(
                factor: passes * ranks.count == 1 ? nil : number(0), tokens: number(1),
                totals: kind.isOverSequences
                    ? LossTotals(
                        units: number(2), tokens: number(3), likely: number(4),
                        passTokens: number(5 + pass)) : nil, ranks: ranks, counts: counts)
        }
        self.numbers = numbers
    }

    /// Writes what these batches, of all ranks together, come to.
    func write(_ batches: [TokenBatch]) throws {
        let parts = Float(batches.count * ranks)
        let counts = kind.isOverSequences ? batches.map { LossCounts($0, kind) } : []
        func share(_ count: (LossCounts) -> Int) -> Float {
            Float(counts.reduce(0) { $0 + count($1) }) / parts
        }
        let values =
            [1 / parts, Float(batches.reduce(0) { $0 + $1.weight })]
            + [share(\.units), share(\.tokens), share(\.likely)]
            + (batches.indices.map { counts.isEmpty ? 0 : Float(counts[$0].tokens) / Float(ranks) })
        // Of a text each step has the same numbers; of examples few have.
        guard values != written else { return }
        written = values
        try values.withUnsafeBytes { try numbers.write($0) }
    }
}

/// What a batch's means are over.
private struct LossCounts {
    let units, tokens, likely: Int

    init(_ batch: TokenBatch, _ kind: TrainingOptions.ObjectiveChoice.Kind) {
        units = batch.rows / kind.rowsPerExample
        func counted(_ rows: Int) -> Int {
            batch.labels[..<(rows * batch.sequenceLength)].count { $0 != ExampleStream.ignored }
        }
        // The second rows of judged answers are of other prompts, and have no loss; those of pairs are the rejected answers.
        tokens = counted(kind.form == .judged ? units : batch.rows)
        likely = kind.form == .pairs ? counted(units) : tokens
    }
}

extension TrainingOptions.ObjectiveChoice.Kind {
    /// Whether its loss has means over pairs or answers, or over tokens in addition to them.
    fileprivate var isOverSequences: Bool { self != .nextToken && self != .sft }

    /// Rows of a batch for each of `--batch`, as many rows apart as there are examples.
    var rowsPerExample: Int { form == .pairs || form == .judged ? 2 : 1 }
}
