public import LigerLosses

extension TrainingOptions {
    /// What a run minimises, and the numbers of its formula; nil is the objective's own.
    public struct ObjectiveChoice: Sendable, Hashable, Codable {
        /// `--objective`
        public enum Kind: String, Sendable, CaseIterable, Codable {
            /// Cross entropy of each next token of a text.
            case nextToken = "next-token"
            /// Cross entropy of the assistant's tokens in conversations, or of completions.
            case sft
            /// From pairs of answers, with a reference.
            case dpo
            /// From pairs of answers, without one.
            case orpo, cpo
            /// From pairs of answers, by their mean log-probability and a margin, without a reference.
            case simPO = "simpo"
            /// From answers that are good or bad, with a reference.
            case kto
            /// From answers with rewards, with a reference.
            case grpo
            /// From a teacher's probabilities.
            case distill
        }

        /// `--loss-type`
        public enum LossType: RawRepresentable, Sendable, Hashable, CaseIterable, Codable {
            /// Of DPO: one of its formulas.
            case dpo(FusedLinearPreference.DPO.Name)
            /// Of GRPO: one of its formulas.
            case grpo(GRPO.Formula)
            /// Of distillation: Jensen-Shannon divergence.
            case jensenShannon
            /// Of distillation: one minus the logits' cosine.
            case cosine

            public static let allCases =
                FusedLinearPreference.DPO.Name.allCases.map(Self.dpo)
                + GRPO.Formula.allCases.map(Self.grpo) + [.jensenShannon, .cosine]

            public init?(rawValue: String) {
                guard let found = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
                self = found
            }

            public var rawValue: String {
                switch self {
                case .dpo(let name): name.rawValue
                case .grpo(let formula): formula.rawValue
                case .jensenShannon: "jsd"
                case .cosine: "cosine"
                }
            }

            /// The objective that has it.
            var kind: Kind {
                switch self {
                case .dpo: .dpo
                case .grpo: .grpo
                case .jensenShannon, .cosine: .distill
                }
            }
        }

        /// `--clip-ratio`: how far GRPO's ratios may go below and above 1.
        public struct ClipRatio: Sendable, Hashable, Codable {
            /// Below.
            public var low: Double
            /// Above.
            public var high: Double

            /// Both.
            public init(_ low: Double, _ high: Double) { (self.low, self.high) = (low, high) }
        }

        /// `--ratio`: what GRPO's ratios compare.
        public enum Ratio: String, Sendable, CaseIterable, Codable {
            /// Each token's probabilities.
            case token
            /// A whole answer's, by the mean over its tokens (GSPO).
            case sequence
        }

        /// `--objective`
        public var kind = Kind.nextToken
        /// `--loss-type`
        public var lossType: LossType?
        /// `--beta`
        public var beta: Double?
        /// `--gamma`
        public var gamma: Double?
        /// `--label-smoothing`
        public var labelSmoothing: Double?
        /// `--alpha`: the weight of the chosen answers' likelihood.
        public var alpha: Double?
        /// `--temperature`
        public var temperature: Double?
        /// `--hard-weight`
        public var hardWeight: Double?
        /// `--clip-ratio`
        public var clipRatio: ClipRatio?
        /// `--ratio`
        public var ratio: Ratio?
        /// `--scale-rewards`: divide advantages by the standard deviation of a prompt's rewards.
        public var scalesRewards: Bool?
        /// `--reference`: a folder; nil for the weights that the run starts from.
        public var reference: String?
        /// `--teacher`: a folder.
        public var teacher: String?

        /// The next token.
        public init() {}
    }
}

extension KeyedDecodingContainer {
    /// Runs recorded before there was a choice learned the next token.
    func decode(
        _ type: TrainingOptions.ObjectiveChoice.Type, forKey key: Key
    ) throws -> TrainingOptions.ObjectiveChoice {
        try decodeIfPresent(type, forKey: key) ?? TrainingOptions.ObjectiveChoice()
    }
}

extension TrainingOptions.ObjectiveChoice.Kind {
    /// What its examples are; nil for text.
    package var form: ExampleFile.Form? {
        switch self {
        case .nextToken: nil
        case .dpo, .orpo, .cpo, .simPO: .pairs
        case .kto: .judged
        case .grpo: .rated
        case .distill: .texts
        case .sft: .instructions
        }
    }

    /// What it asks in addition to the trained model: `reference`, `teacher` or nothing.
    var frozenRole: String? {
        switch self {
        case .dpo, .kto, .grpo: "reference"
        case .distill: "teacher"
        case .nextToken, .sft, .orpo, .cpo, .simPO: nil
        }
    }

    /// Sequences that the model is differentiated on for each of `--batch`.
    var answersPerExample: Int { form == .pairs ? 2 : 1 }
}

extension TrainingOptions.ObjectiveChoice {
    /// The objective with every number of its formula, as one would ask for it: what a resumed run must repeat.
    public var description: String {
        let numbers = [
            ("--beta", resolvedBeta), ("--gamma", resolvedGamma), ("--label-smoothing", resolvedSmoothing),
            ("--alpha", resolvedAlpha), ("--temperature", resolvedTemperature),
            ("--hard-weight", resolvedHardWeight),
        ]
        let clip = resolvedClipRatio
        let words = [
            ("--loss-type", resolvedLossType?.rawValue), ("--reference", reference), ("--teacher", teacher),
            ("--ratio", resolvedRatio?.rawValue), ("--clip-ratio", clip.map { "\($0.low),\($0.high)" }),
        ]
        let parts =
            words.compactMap { name, word in word.map { "\(name) \($0)" } }
            + numbers.compactMap { name, number in number.map { "\(name) \($0)" } }
        let scaling = resolvedScalesRewards == false ? ["--no-scale-rewards"] : []
        return ([kind.rawValue] + parts + scaling).joined(separator: " ")
    }

    var resolvedLossType: LossType? {
        switch kind {
        case .dpo: lossType ?? .dpo(.sigmoid)
        case .distill: lossType ?? .jensenShannon
        case .grpo: lossType ?? .grpo(.dapo)
        case .nextToken, .sft, .orpo, .cpo, .simPO, .kto: nil
        }
    }

    var resolvedBeta: Double? {
        switch kind {
        case .nextToken, .sft: nil
        case .distill: beta ?? 0.5
        case .grpo: beta ?? 0.04
        case .dpo, .orpo, .cpo, .simPO, .kto: beta ?? 0.1
        }
    }

    var resolvedGamma: Double? { kind == .simPO ? gamma ?? 0.5 : nil }

    var resolvedSmoothing: Double? {
        switch (kind, resolvedLossType) {
        case (.dpo, .dpo(.exoPair)): labelSmoothing ?? 1e-3
        case (.dpo, .dpo(.robust)), (.cpo, _), (.simPO, _): labelSmoothing ?? 0
        default: nil
        }
    }

    var resolvedAlpha: Double? {
        switch kind {
        case .dpo, .simPO: alpha ?? 0
        case .cpo, .orpo: alpha ?? 1
        case .nextToken, .sft, .kto, .grpo, .distill: nil
        }
    }

    var resolvedTemperature: Double? { kind == .distill || kind == .grpo ? temperature ?? 1 : nil }
    var resolvedHardWeight: Double? { kind == .distill ? hardWeight ?? 0.5 : nil }

    var resolvedRewardFormula: GRPO.Formula? {
        guard case .grpo(let formula) = resolvedLossType else { return nil }
        return formula
    }

    /// Of formulas that cut ratios, or weight by ones that are cut.
    var resolvedClipRatio: ClipRatio? {
        switch resolvedRewardFormula {
        case nil, .sapo, .vespo: nil
        // CISPO bounds the ratio itself, above.
        case .cispo: clipRatio ?? ClipRatio(0, 5)
        case .grpo, .bnpo, .drGRPO, .dapo, .luspo: clipRatio ?? ClipRatio(0.2, 0.2)
        }
    }

    var resolvedRatio: Ratio? { kind == .grpo ? ratio ?? .token : nil }
    var resolvedScalesRewards: Bool? { kind == .grpo ? scalesRewards ?? true : nil }

    /// Whether the loss is a mean over a step's tokens, not over its pairs or answers.
    var isMeanOverTokens: Bool { kind == .distill || resolvedRewardFormula?.isMeanOverTokens ?? false }
}
