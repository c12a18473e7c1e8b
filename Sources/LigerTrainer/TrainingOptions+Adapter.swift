public import LigerNN

extension TrainingOptions {
    /// What is trained in the place of the weights, and its numbers; nil is the usual one.
    public struct AdapterChoice: Sendable, Hashable, Codable {
        /// `--adapter`: a folder with an adapter in PEFT's files, to go on with.
        public var folder: String?
        /// `--lora-rank`: of a new adapter.
        public var rank: Int?
        /// `--lora-alpha`
        public var alpha: Double?
        /// `--lora-dropout`
        public var dropout: Double?
        /// `--lora-targets`
        public var targets: LowRankOptions.Targets?
        /// `--rslora`
        public var isRankStabilised = false
        /// `--dora`
        public var isWeightDecomposed = false

        /// No adapter: the weights are trained.
        public init() {}

        /// Whether weights are frozen.
        public var isUsed: Bool { folder != nil || rank != nil }

        /// A new adapter; nil where none is made.
        var lowRank: LowRankOptions? {
            rank.map {
                LowRankOptions(
                    rank: $0, alpha: alpha ?? Double(2 * $0), dropout: dropout ?? 0, targets: targets ?? .all,
                    isRankStabilised: isRankStabilised, isWeightDecomposed: isWeightDecomposed)
            }
        }

        /// What is trained, for people.
        ///
        /// - Parameters:
        ///   - count: numbers of the adapter.
        ///   - total: those of the model.
        func line(_ count: Int, of total: Int) -> String {
            let share = Format.significant(100 * Double(count) / Double(max(1, total)), digits: 2)
            return "adapter \(folder ?? lowRank?.words ?? "none"): \(Format.integer(count)) parameters, "
                + "trained alone; \(share)% of the model's"
        }

        /// As one would ask for it: what a resumed run must repeat.
        public var description: String {
            if let folder { return "--adapter \(folder)" }
            return lowRank?.description ?? "none"
        }
    }

    /// What is wrong with the adapter, and with other options given with it.
    var adapterProblems: [String] {
        adapter.strayProblems + adapter.numberProblems
            + ((adapter.dropout ?? 0) > 0 && execution.graph ? [Self.dropoutInGraph] : [])
    }

    /// A captured step repeats its launches, numbers and all.
    static let dropoutInGraph =
        "--graph repeats one step's launches, but dropout drops others in each; leave out one of them"
    static let dropoutInDoRA =
        "dropout is not supported with DoRA; give --lora-dropout 0, or leave out --dora"
}

extension TrainingOptions.AdapterChoice {
    fileprivate var strayProblems: [String] {
        if rank != nil, folder == nil { return [] }
        let given: [(option: String, isGiven: Bool)] = [
            ("--lora-rank", rank != nil), ("--lora-alpha", alpha != nil), ("--lora-dropout", dropout != nil),
            ("--lora-targets", targets != nil), ("--rslora", isRankStabilised),
            ("--dora", isWeightDecomposed),
        ]
        let reason =
            folder == nil
            ? "has no meaning without --lora-rank" : "cannot be given with --adapter, which has its own"
        var problems = given.filter(\.isGiven).map { "\($0.option) \(reason)" }
        if folder == "" { problems.append("--adapter is empty; give a folder") }
        return problems
    }

    fileprivate var numberProblems: [String] {
        var problems: [String] = []
        if let rank, !(1...65_536).contains(rank) {
            problems.append("--lora-rank is \(rank); it must be from 1 to 65536")
        }
        if let alpha, !(alpha > 0 && Float(alpha).isFinite) {
            problems.append("--lora-alpha is \(alpha); it must be a finite number above 0")
        }
        if let dropout, !(0..<1).contains(dropout) {
            problems.append("--lora-dropout is \(dropout); it must be at least 0 and below 1")
        }
        if isWeightDecomposed, let dropout, dropout > 0 { problems.append(TrainingOptions.dropoutInDoRA) }
        if case .named(let names)? = targets, names.isEmpty || names.contains("") {
            problems.append(
                "--lora-targets has an empty name; give all-linear, or names such as q_proj,v_proj")
        }
        return problems
    }
}

extension LowRankOptions {
    /// For people: `LoRA of rank 16, alpha 32, dropout 0, on all linear layers`.
    var words: String {
        let layers: String =
            switch targets {
            case .all: "all linear layers"
            case .named(let names): names.joined(separator: ", ")
            }
        return (isRankStabilised ? "rank-stabilised " : "") + (isWeightDecomposed ? "DoRA" : "LoRA")
            + " of rank \(rank), alpha \(Self.short(alpha)), dropout \(Self.short(dropout)), on \(layers)"
    }

    private static func short(_ number: Double) -> String {
        number == number.rounded() && abs(number) < 1e9 ? "\(Int(number))" : "\(number)"
    }

    /// As one would ask for it on the command line.
    var description: String {
        let names: String =
            switch targets {
            case .all: "all-linear"
            case .named(let names): names.joined(separator: ",")
            }
        return "--lora-rank \(rank) --lora-alpha \(alpha) --lora-dropout \(dropout) --lora-targets \(names)"
            + (isRankStabilised ? " --rslora" : "") + (isWeightDecomposed ? " --dora" : "")
    }
}

extension KeyedDecodingContainer {
    /// Runs recorded before there was a choice trained the weights.
    func decode(
        _ type: TrainingOptions.AdapterChoice.Type, forKey key: Key
    ) throws -> TrainingOptions.AdapterChoice {
        try decodeIfPresent(type, forKey: key) ?? TrainingOptions.AdapterChoice()
    }
}
