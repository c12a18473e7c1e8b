public import LigerRuntime

/// A linear layer at the end of a model, logits = x W^T + b, with its input.
public struct LinearHead: Sendable {
    /// x, [..., H]; leading dimensions count as tokens.
    public var input: NDArray
    /// W, [V, H].
    public var weight: NDArray
    /// b, [V]. All three f32, bf16 or f16, not necessarily the same.
    public var bias: NDArray?

    /// A layer; nothing is checked before it is used.
    public init(input: NDArray, weight: NDArray, bias: NDArray? = nil) {
        self.input = input
        self.weight = weight
        self.bias = bias
    }
}

/// How a loss over sequences treats memory, and which tokens count.
public struct SequenceOptions: Sendable, Hashable {
    /// The label of tokens that do not count.
    public var ignoreIndex: Int
    /// What logits are divided by.
    public var temperature: Float
    /// What the logits of a chunk may take, in bytes; a chunk has at least one token. Nil takes the device's, as
    /// fused linear cross entropy does, and on a GPU up to a 32nd of its memory where a pair or an answer takes more.
    public var budgetBytes: Int?
    /// What weight gradients are summed in.
    public var accumulation: FusedLinearCrossEntropy.Accumulation

    /// Options; exact sums and the device's budget where none is given.
    public init(
        ignoreIndex: Int = -100, temperature: Float = 1,
        budgetBytes: Int? = nil, accumulation: FusedLinearCrossEntropy.Accumulation = .exact
    ) {
        self.ignoreIndex = ignoreIndex
        self.temperature = temperature
        self.budgetBytes = budgetBytes
        self.accumulation = accumulation
    }
}

extension SequenceOptions {
    /// The budget given, or else the device's.
    func budgetBytes(on device: Device) -> Int {
        budgetBytes ?? FusedLinearCrossEntropy.defaultBudgetBytes(on: device)
    }

    /// The same where a loss has units that it cannot part. Where none is given and a GPU's is too small for a unit, it
    /// is what the unit takes, up to a 32nd of the GPU's memory: logits that no chunk holds are made twice, which makes
    /// long answers slower than whole logits in plain PyTorch.
    ///
    /// - Parameter unitBytes: what the logits of a unit take.
    package func budgetBytes(on device: Device, unitBytes: Int) -> Int {
        let budget = budgetBytes(on: device)
        guard budgetBytes == nil, let memory = device.traits.memoryBytes, unitBytes <= memory / 32 else {
            return budget
        }
        return max(budget, unitBytes)
    }
}
