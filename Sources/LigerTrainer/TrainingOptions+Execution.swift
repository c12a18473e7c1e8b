public import LigerNN
public import Tile

extension TrainingOptions {
    /// What happens to a run whose estimated memory is far above what is free.
    public enum MemoryLimit: String, Sendable, CaseIterable, Codable {
        /// It is refused.
        case enforced
        /// It begins all the same.
        case ignored
    }

    /// How a run uses its device: what it holds in addition to the weights, and how it hands over work. Less memory
    /// costs exactness or time, as said at each.
    public struct Execution: Sendable, Hashable, Codable {
        /// What updates of 16-bit weights are added to.
        public enum Masters: String, Sendable, CaseIterable, Codable {
            /// A copy of each weight in fp32, from which the weight is rounded.
            case f32
            /// The weight itself: updates below half of its last bit are lost.
            case none
            /// The weight itself, rounded at random: small updates arrive on average.
            case stochastic
        }

        /// When weights are updated.
        public enum Updates: String, Sendable, CaseIterable, Codable {
            /// After the backward pass, all of them.
            case together
            /// Each once the backward pass has its gradient, which is freed. Clipping takes the norm of the step before.
            case inBackward
        }

        /// What each of several ranks keeps a part of.
        public enum Shard: String, Sendable, CaseIterable, Codable {
            /// Nothing.
            case none
            /// AdamW's means and masters, and gradients once they are summed.
            case optimizer
            /// These, and weights, which are gathered while they are used.
            case all
        }

        /// What each of several ranks has of the head.
        public enum Head: String, Sendable, CaseIterable, Codable {
            /// All of it, for its own tokens.
            case whole
            /// A run of its classes, for the tokens of all ranks.
            case parallel
        }

        /// What linear layers multiply.
        public enum Products: String, Sendable, CaseIterable, Codable {
            /// Numbers of the type that weights and activations have.
            case dtype
            /// These rounded to 8 bits, e4m3 forward and e5m2 for gradients, with one scale a matrix. The head's stay.
            case fp8
        }

        /// `--products`
        public var products = Products.dtype
        /// `--masters`
        public var masters = Masters.f32
        /// `--moments`: storage of AdamW's two means; u8 is codes of 8 bits with scales.
        public var moments = DType.f32
        /// `--update-in-backward`
        public var updates = Updates.together
        /// `--gradients`: storage of the sums of gradients.
        public var gradients = DType.f32
        /// `--recompute`
        public var recompute = Recompute.none
        /// `--memory-budget`: bytes that arrays may take on the device, with `--recompute auto`; nil for what is free.
        public var memoryBudget: Int?
        /// `--graph`: hand a GPU the launches of a step at once; results have the same bits.
        public var graph = false
        /// `--loss-budget`: MiB that the logits of a chunk may take; nil for the device's own.
        public var lossBudget: Int?
        /// `--attention`
        public var attention = AttentionMethod.auto
        /// `--shard`: results have the same bits.
        public var shard = Shard.none
        /// `--head`
        public var head = Head.whole

        /// Everything exact, everything kept.
        public init() {}

        /// The storage types of gradients, and with `u8` of moments.
        public static let dtypes: [DType] = [.f32, .bf16]
        /// The storage types of moments.
        public static let momentTypes = dtypes + [.u8]

        /// How AdamW keeps its state.
        var storage: AdamWOptimiser.Storage {
            AdamWOptimiser.Storage(
                keepsMasters: masters == .f32, moments: moments, roundsAtRandom: masters == .stochastic)
        }
    }
}

extension KeyedDecodingContainer {
    /// Runs recorded before there was a choice used the defaults.
    func decode(_ type: TrainingOptions.Execution.Type, forKey key: Key) throws -> TrainingOptions.Execution {
        try decodeIfPresent(type, forKey: key) ?? TrainingOptions.Execution()
    }

    /// Before there was a choice, products were of the weights' type.
    func decode(
        _ type: TrainingOptions.Execution.Products.Type, forKey key: Key
    ) throws -> TrainingOptions.Execution.Products {
        try decodeIfPresent(type, forKey: key) ?? .dtype
    }

    /// Before there was a choice, weights were updated together.
    func decode(
        _ type: TrainingOptions.Execution.Updates.Type, forKey key: Key
    ) throws -> TrainingOptions.Execution.Updates {
        try decodeIfPresent(type, forKey: key) ?? .together
    }

    /// Before there was a choice, every rank kept everything.
    func decode(
        _ type: TrainingOptions.Execution.Shard.Type, forKey key: Key
    ) throws -> TrainingOptions.Execution.Shard {
        try decodeIfPresent(type, forKey: key) ?? .none
    }

    /// Before there was a choice, every rank had the whole head.
    func decode(
        _ type: TrainingOptions.Execution.Head.Type, forKey key: Key
    ) throws -> TrainingOptions.Execution.Head {
        try decodeIfPresent(type, forKey: key) ?? .whole
    }

    /// Before there was a choice, runs began with a warning.
    func decode(
        _ type: TrainingOptions.MemoryLimit.Type, forKey key: Key
    ) throws -> TrainingOptions.MemoryLimit {
        try decodeIfPresent(type, forKey: key) ?? .enforced
    }

    /// Before there was a choice, attention went by blocks.
    func decode(
        _ type: AttentionMethod.Type, forKey key: Key
    ) throws -> AttentionMethod {
        try decodeIfPresent(type, forKey: key) ?? .blocked
    }
}
