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
            /// From a teacher's probabilities.
            case distill
        }

        /// `--loss-type`
        public enum LossType: RawRepresentable, Sendable, Hashable, CaseIterable, Codable {
            /// Of DPO: one of its formulas.
            case dpo(FusedLinearPreference.DPO.Name)
            /// Of distillation: Jensen-Shannon divergence.
            case jensenShannon
            /// Of distillation: one minus the logits' cosine.
            case cosine

            public static let allCases =
                FusedLinearPreference.DPO.Name.allCases.map(Self.dpo) + [.jensenShannon, .cosine]

            public init?(rawValue: String) {
                guard let found = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
                self = found
            }

            public var rawValue: String {
                switch self {
                case .dpo(let name): name.rawValue
                case .jensenShannon: "jsd"
                case .cosine: "cosine"
                }
            }

            var isOfDistillation: Bool { self == .jensenShannon || self == .cosine }
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
        case .distill: .texts
        case .sft: .instructions
        }
    }

    /// What it asks in addition to the trained model: `reference`, `teacher` or nothing.
    var frozenRole: String? {
        switch self {
        case .dpo, .kto: "reference"
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
        let words = [
            ("--loss-type", resolvedLossType?.rawValue), ("--reference", reference), ("--teacher", teacher),
        ]
        let parts =
            words.compactMap { name, word in word.map { "\(name) \($0)" } }
            + numbers.compactMap { name, number in number.map { "\(name) \($0)" } }
        return ([kind.rawValue] + parts).joined(separator: " ")
    }

    var resolvedLossType: LossType? {
        switch kind {
        case .dpo: lossType ?? .dpo(.sigmoid)
        case .distill: lossType ?? .jensenShannon
        case .nextToken, .sft, .orpo, .cpo, .simPO, .kto: nil
        }
    }

    var resolvedBeta: Double? {
        switch kind {
        case .nextToken, .sft: nil
        case .distill: beta ?? 0.5
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
        case .nextToken, .sft, .kto, .distill: nil
        }
    }

    var resolvedTemperature: Double? { kind == .distill ? temperature ?? 1 : nil }
    var resolvedHardWeight: Double? { kind == .distill ? hardWeight ?? 0.5 : nil }
}
