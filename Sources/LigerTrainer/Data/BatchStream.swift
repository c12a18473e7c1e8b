/// What deals out batches in a repeatable random order.
///
/// A batch depends on the seed and its step alone: resuming needs no state but the step's number.
package protocol BatchStream: Sendable {
    /// The most tokens that a sequence of a batch has.
    var sequenceLength: Int { get }
    /// Batches per optimiser step.
    var accumulation: Int { get }
    /// Changes when any of the data does.
    var fingerprint: String { get }
    /// Tokens of all data.
    var tokenCount: Int { get }
    /// How many batches cover what is kept for evaluation.
    var evaluationBatches: Int { get }
    /// How many sequences, rows or examples of those that `--batch` counts are dealt out before any comes again.
    var drawsPerEpoch: Int { get }
    /// What a step reads, in words: "1,024 tokens a step".
    var stepSummary: String { get }

    /// The batch for one step, counted from 0, and its part when gradients accumulate.
    func batch(step: Int, part: Int) -> TokenBatch
    /// One batch of what is kept for evaluation, in its order.
    func evaluationBatch(_ index: Int) -> TokenBatch
    /// Tokens that all steps before one trained on.
    func tokens(before step: Int) -> Int
    /// What there is to train on, for people.
    func summary(tokenizer: String) -> String
    /// An example that people are shown before the run; nil where there is nothing to check.
    var sample: SampleTokens? { get }
}

extension BatchStream {
    package var sample: SampleTokens? { nil }
}
