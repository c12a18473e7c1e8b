internal import LigerNN

extension TrainingOptions {
    /// How long a run goes, what it keeps of its best, and what it is called.
    public struct Course: Sendable, Hashable, Codable {
        /// `--epochs`: passes over the data, which decide `steps` once the data is read; nil where `steps` is meant.
        public var epochs: Int?
        /// `--patience`: evaluations in a row that may be no better than the best; nil for any number.
        public var patience: Int?
        /// `--keep-best`; with `patience` the best is kept in any case.
        public var keepsBest = false
        /// `--prolong`
        public var prolongs = false
        /// `--name`
        public var name: String?
        /// The steps that the schedule of the learning rate is for, in a run that was prolonged; else nil.
        public internal(set) var scheduledSteps: Int?

        /// So many steps as the options say, with the last checkpoints alone.
        public init() {}
    }

    /// Whether the best model so far is kept.
    public var keepsBest: Bool { course.keepsBest || course.patience != nil }

    /// The steps after which the learning rate is at its end.
    var scheduleLength: Int { course.scheduledSteps ?? steps }

    /// What is wrong with these options.
    var courseProblems: [String] {
        var problems: [String] = []
        if let epochs = course.epochs, epochs < 1 {
            problems.append("--epochs is \(epochs); it must be at least 1")
        }
        if let patience = course.patience, patience < 1 {
            problems.append("--patience is \(patience); it must be at least 1")
        }
        for (option, isGiven) in [("--patience", course.patience != nil), ("--keep-best", course.keepsBest)]
        where isGiven && evaluationInterval == nil {
            problems.append("\(option) needs evaluations, but --eval-fraction is 0")
        }
        if course.prolongs {
            if !resume { problems.append("--prolong goes on with a run; give --resume too") }
            if newIfDifferent {
                problems.append("--prolong and --new-if-different exclude each other; leave one of them out")
            }
        }
        if let name = course.name, !Self.isName(name) {
            problems.append(
                "--name is \(name.debugDescription); it must have 1 to 80 letters, with no / among them and no dot in front"
            )
        }
        return problems
    }

    /// Whether a text can be the name of a folder.
    private static func isName(_ text: String) -> Bool {
        !text.isEmpty && text.count <= 80 && text.utf8.count <= 200 && !text.hasPrefix(".")
            && text.unicodeScalars.allSatisfy {
                $0 != "/" && $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value)
            }
            && text.first != " " && text.last != " "
    }

    /// With the steps that `--epochs` come to, and the schedule of the run that is prolonged.
    ///
    /// - Throws: `TrainerError` (`invalidOptions`) if the steps cannot be.
    func planned(over stream: some BatchStream) throws -> TrainingOptions {
        var options = self
        if let epochs = course.epochs {
            let perStep = batch * accumulate
            let (drawn, overflows) = stream.drawsPerEpoch.multipliedReportingOverflow(by: epochs)
            options.steps = overflows ? .max : (drawn - 1) / perStep + 1
        }
        if resume, let earlier = try? RunDirectory.record(at: out).options,
            course.prolongs || earlier.steps == options.steps
        {
            if course.prolongs, options.steps < earlier.steps {
                throw TrainerError(
                    .invalidOptions,
                    "--prolong is given, but the run in \(out) has \(Format.count(earlier.steps, "step")) already, and "
                        + "now \(Format.integer(options.steps)).",
                    remedy: "Give more --steps or --epochs.")
            }
            options.course.scheduledSteps =
                earlier.scheduleLength == options.steps ? nil : earlier.scheduleLength
        }
        if course.epochs != nil {
            var counted = options
            counted.course.epochs = nil
            try counted.validate()
        }
        return options
    }

    /// What `--epochs` come to, for people; options must be planned.
    func epochSummary(over stream: some BatchStream) -> String? {
        course.epochs.map { epochs in
            let perStep = batch * accumulate
            return "\(Format.count(epochs, "epoch")) of \(Format.integer(stream.drawsPerEpoch)), "
                + "\(Format.integer(perStep)) a step: \(Format.count(steps, "step"))"
        }
    }
}

extension KeyedDecodingContainer {
    /// Runs recorded before there was a choice went to their last step.
    func decode(_ type: TrainingOptions.Course.Type, forKey key: Key) throws -> TrainingOptions.Course {
        try decodeIfPresent(type, forKey: key) ?? TrainingOptions.Course()
    }
}
