/// What went wrong before or around training: data, options, or the output folder.
public struct TrainerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The part that failed, for programs; people read `description`.
    public enum Kind: String, Sendable {
        /// There is no file or folder where the data should be.
        case dataNotFound
        /// The data is there and cannot be read.
        case dataUnreadable
        /// No text was found in it.
        case dataEmpty
        /// A line of a JSONL file is not what the objective needs.
        case dataMalformed
        /// The text is shorter than a sequence.
        case textTooShort
        /// Tokens of large data cannot be kept on disk.
        case cacheUnwritable
        /// Options that contradict each other or are out of range.
        case invalidOptions
        /// The output folder cannot be written.
        case outputUnwritable
        /// The output folder holds another run or other files, or another process writes to it.
        case outputInUse
        /// The run in the output folder cannot go on with these options.
        case cannotResume
        /// `metrics.jsonl` has lines that are not metrics.
        case metricsDamaged
        /// Neither a preset nor a folder with a model.
        case unknownModel
        /// An adapter is put on weights that it was not trained on.
        case otherBase
        /// Tokenizer and model, or model and teacher, have different vocabularies.
        case vocabularyMismatch
        /// The loss became NaN or infinite.
        case notFinite
        /// The estimated memory is far above what is free.
        case memoryTooSmall
        /// Ranks do not come together, or cannot exchange anything.
        case ranksUnusable
        /// Ranks would not do the same.
        case ranksDiffer
        /// A rank has ended, or gives no sign of life.
        case rankLost
    }

    /// The part that failed.
    public let kind: Kind
    /// What was wrong and what was found.
    public let problem: String
    /// What to do about it.
    public let remedy: String

    /// An error whose description reads "problem. remedy".
    public init(_ kind: Kind, _ problem: String, remedy: String) {
        self.kind = kind
        self.problem = problem
        self.remedy = remedy
    }

    /// Both sentences.
    public var description: String { problem.hasSuffix("\n") ? problem + remedy : "\(problem) \(remedy)" }
}
