import LigerRuntime

/// What the layers of a decoder know of the batch at hand.
public struct SequenceContext {
    /// Sequences.
    public let batch: Int
    /// Tokens of each.
    public let length: Int
    /// Which kernels run.
    public let kernels: KernelChoice
    /// How a GPU computes attention.
    public let attention: AttentionMethod
    let tables: RotaryTables.Slice
}
