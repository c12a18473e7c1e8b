extension TrainingOptions {
    /// Where data comes from, in addition to `data`, and where its tokens are kept.
    public struct SourceChoice: Sendable, Hashable, Codable {
        /// `--mix`: more files or folders to train on.
        public var others: [String] = []
        /// `--weights`: of `data` and the others, how often rows of each are drawn; nil for each row once an epoch.
        public var weights: [Double]?
        /// `--eval-data`: what is evaluated, in the place of a share of the data.
        public var evaluation: String?
        /// `--cache`: the folder of tokens; nil for the user's, and memory for small data.
        public var cache: String?

        /// One source.
        public init() {}
    }

    /// The share of the data that is kept for evaluation.
    public var heldOutFraction: Double { source.evaluation == nil ? evaluationFraction : 0 }

    var sourceProblems: [String] {
        var problems: [String] = []
        let given = [("--cache", source.cache), ("--eval-data", source.evaluation)]
        for (option, path) in given where path == "" { problems.append("\(option) is empty; give a path") }
        if source.others.contains("") { problems.append("--mix is empty; give a path") }
        if !source.others.isEmpty, data == nil {
            problems.append("--mix adds to --data, which is not given")
        }
        if let weights = source.weights {
            let count = source.others.count + 1
            if count == 1 { problems.append("--weights needs several sources; give more with --mix") }
            if count > 1, weights.count != count {
                problems.append(
                    "--weights has \(weights.count) numbers for \(count) sources: --data and each --mix")
            }
            if !weights.allSatisfy({ $0 > 0 && $0.isFinite }) || !weights.reduce(0, +).isFinite {
                problems.append("--weights must be finite numbers above 0")
            }
            if course.epochs != nil {
                problems.append(
                    "--epochs counts rows that come once, and --weights repeats some; give --steps")
            }
        }
        if source.evaluation != nil, evaluationFraction != 0,
            evaluationFraction != TrainingOptions().evaluationFraction
        {
            problems.append(
                "--eval-fraction is \(evaluationFraction), and --eval-data keeps nothing of --data; leave one of them out"
            )
        }
        return problems
    }
}

extension KeyedDecodingContainer {
    /// Runs recorded before there was a choice had one source.
    func decode(
        _ type: TrainingOptions.SourceChoice.Type, forKey key: Key
    ) throws -> TrainingOptions.SourceChoice {
        try decodeIfPresent(type, forKey: key) ?? TrainingOptions.SourceChoice()
    }
}
