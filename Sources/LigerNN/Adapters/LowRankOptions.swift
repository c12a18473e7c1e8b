/// Which layers are adapted, and how: what PEFT calls a LoRA configuration.
public struct LowRankOptions: Sendable, Hashable, Codable {
    /// Which linear layers get an adapter.
    public enum Targets: Sendable, Hashable, Codable {
        /// All within the blocks: every one but the head, routers and experts.
        case all
        /// Those whose name, or whose name's last parts, are one of these, such as `q_proj` or `mlp.up_proj`; also routers
        /// (`mlp.gate`) and experts' matrices (`experts.gate_up_proj`, `experts.down_proj`).
        case named([String])
    }

    /// Of experts' gates and ups.
    package struct Gates: Sendable, Hashable, Codable {
        package let rank: Int
        package let alpha: Double

        package init(rank: Int, alpha: Double) { (self.rank, self.alpha) = (rank, alpha) }
    }

    /// Columns of the narrow factor, r.
    public var rank: Int
    /// What the product of the factors is multiplied by, over `rank` or its root.
    public var alpha: Double
    /// Rank and alpha of experts' gates and ups where they have their own: PEFT gives them twice the others' where
    /// their two halves were named apart.
    package var gates: Gates?
    /// Share of inputs that an adapter, but not its layer, misses in training.
    public var dropout: Double
    /// The layers.
    public var targets: Targets
    /// Whether alpha is over the root of the rank (Kalajdzievski, 2023).
    public var isRankStabilised: Bool
    /// Whether length and direction of a weight's rows are learned apart: DoRA (Liu and others, 2024).
    public var isWeightDecomposed: Bool

    /// Options; those of the paper where none is given.
    public init(
        rank: Int, alpha: Double, dropout: Double = 0, targets: Targets = .all,
        isRankStabilised: Bool = false, isWeightDecomposed: Bool = false
    ) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets
        self.isRankStabilised = isRankStabilised
        self.isWeightDecomposed = isWeightDecomposed
    }

    /// What the product of the factors is multiplied by.
    public var scale: Float { scale(rank, alpha) }

    private func scale(_ rank: Int, _ alpha: Double) -> Float {
        Float(alpha / (isRankStabilised ? Double(rank).squareRoot() : Double(rank)))
    }

    /// Rank and scale of experts' matrices of a name.
    func ofExperts(_ name: String) -> (rank: Int, scale: Float) {
        guard let gates, name.hasSuffix("." + SparseFeedForward.gatesName) else { return (rank, scale) }
        return (gates.rank, scale(gates.rank, gates.alpha))
    }
}

extension LowRankOptions.Targets {
    /// Whether a layer of this name gets an adapter, by PEFT's rule: a whole name, or its end from a dot on.
    package func contains(_ name: String) -> Bool {
        switch self {
        case .all: true
        case .named(let names): names.contains { Self.matches($0, name) }
        }
    }

    static func matches(_ target: String, _ name: String) -> Bool {
        name == target || name.hasSuffix("." + target)
    }
}
