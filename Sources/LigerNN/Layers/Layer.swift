import LigerKernels

/// A map of hidden states, [batch * length, hidden size], to others of the same shape.
///
/// Norms, attention, feed-forward layers and blocks are all layers, so that an architecture can combine any of them.
public protocol Layer {
    /// Like x.
    func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor
}

/// What layers know of the batch at hand.
public struct SequenceContext {
    /// Sequences.
    public let batch: Int
    /// Tokens of each.
    public let length: Int
    /// Which kernels run.
    public let kernels: KernelSelection
    /// How a GPU computes attention.
    public let attention: AttentionMethod
    /// Where documents begin that share rows; nil where each row is one.
    var documents: DocumentBorders?
    /// What routers note for their loss; nil where nobody asks.
    var routers: RouterNotes?
    /// What was read before; nil where sequences are read whole, as documents are.
    var cache: KeyValueCache?

    /// The positions of the tokens, or of the longest document's.
    var positions: Range<Int> {
        if let documents { return 0..<documents.longest }
        let start = cache?.length ?? 0
        return start..<start + length
    }
}
