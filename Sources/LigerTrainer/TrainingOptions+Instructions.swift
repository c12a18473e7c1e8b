internal import LigerNN
internal import LigerText

extension TrainingOptions {
    /// How instructions become sequences (`--objective sft`); nil is the usual way.
    public struct InstructionChoice: Sendable, Hashable, Codable {
        /// `--loss-on`: which tokens are learned.
        public enum LossOn: String, Sendable, CaseIterable, Codable {
            /// Those that the assistant writes, or the completion's.
            case assistant
            /// All.
            case all
        }

        /// `--over-length`: what becomes of an example that is longer than `--seq`.
        public enum OverLength: String, Sendable, CaseIterable, Codable {
            /// It loses its end; one of which nothing to learn is left is left out.
            case cut
            /// It is left out.
            case drop
            /// The run is refused, with the example's line.
            case refuse
        }

        /// `--packing`: several examples in a row.
        public var packing: Bool?
        /// `--loss-on`
        public var lossOn: LossOn?
        /// `--over-length`
        public var overLength: OverLength?
        /// `--chat-template`: a file with the template, in the place of the model's own.
        public var chatTemplate: String?
        /// `--chat-date`: the day, as 2026-11-29, that templates call today; nil for the day that the run begins.
        public var chatDate: String?

        /// The usual way.
        public init() {}
    }

    /// Whether examples share rows.
    public var packsRows: Bool { objective.kind == .sft && instructions.packing ?? true }

    /// What is wrong with these options, and with others given with them.
    var instructionProblems: [String] {
        let isTuned = objective.kind == .sft
        let rendersChats = objective.kind.form != nil
        let given: [(option: String, isGiven: Bool, fits: Bool)] = [
            ("--packing", instructions.packing != nil, isTuned),
            ("--loss-on", instructions.lossOn != nil, isTuned),
            ("--over-length", instructions.overLength != nil, isTuned),
            ("--chat-template", instructions.chatTemplate != nil, rendersChats),
            ("--chat-date", instructions.chatDate != nil, rendersChats),
        ]
        var problems = given.filter { $0.isGiven && !$0.fits }.map {
            "\($0.option) has no meaning with --objective \(objective.kind.rawValue); it is for "
                + ($0.option.hasPrefix("--chat") ? "objectives that read conversations" : "sft")
        }
        if instructions.chatTemplate == "" { problems.append("--chat-template is empty; give a file") }
        if let date = instructions.chatDate, ChatDate(date) == nil {
            problems.append("--chat-date is \(date); it must be a day such as 2026-11-29")
        }
        if packsRows, execution.graph {
            problems.append(
                "--graph repeats one step's launches, and with --packing attention stops elsewhere in each; leave out "
                    + "--graph, or give --no-packing")
        }
        if packsRows, execution.attention == .flash {
            problems.append(
                "--attention flash cannot keep apart examples that share rows; leave it out, or give "
                    + "--no-packing")
        }
        return problems
    }

    /// With the day filled in that templates call today: of the run that is to go on, or else the present one, so that a
    /// resumed run renders the same conversations.
    func withChatDate() -> TrainingOptions {
        guard objective.kind.form != nil, instructions.chatDate == nil else { return self }
        var options = self
        if resume, let earlier = try? RunDirectory.record(at: out) {
            options.instructions.chatDate = earlier.options.instructions.chatDate
        } else {
            options.instructions.chatDate = ChatDate.today?.description
        }
        return options
    }
}

extension TrainingOptions.InstructionChoice {
    var resolvedLossOn: LossOn { lossOn ?? .assistant }
    var resolvedOverLength: OverLength { overLength ?? .cut }
}

extension KeyedDecodingContainer {
    /// Runs recorded before there was a choice had no instructions.
    func decode(
        _ type: TrainingOptions.InstructionChoice.Type, forKey key: Key
    ) throws -> TrainingOptions.InstructionChoice {
        try decodeIfPresent(type, forKey: key) ?? TrainingOptions.InstructionChoice()
    }
}
