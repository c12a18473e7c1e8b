/// What went wrong before or around training: data, options, or the output folder.
public struct TrainerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The part that failed, for programs; people read `description`.
    public enum Kind: String, Sendable {
        case dataNotFound, dataUnreadable, dataEmpty, dataMalformed, textTooShort
        case invalidOptions, outputUnwritable, outputInUse, cannotResume, metricsDamaged
        case unknownModel, vocabularyMismatch, notFinite, memoryTooSmall
        case ranksUnusable, ranksDiffer, rankLost
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
