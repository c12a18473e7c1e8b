/// How a decoder's loss is computed.
public struct LossOptions: Sendable, Hashable {
    /// The label of tokens that count for nothing.
    public var ignoreIndex: Int
    /// Memory that the fused linear cross entropy may use for a chunk of logits, in bytes; nil takes the device's.
    public var budgetBytes: Int?

    /// Options; those of the usual choice where none is given.
    public init(ignoreIndex: Int = -100, budgetBytes: Int? = nil) {
        self.ignoreIndex = ignoreIndex
        self.budgetBytes = budgetBytes
    }
}
