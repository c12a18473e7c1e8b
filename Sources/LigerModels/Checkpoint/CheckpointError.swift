/// What is wrong with a file of a checkpoint: every problem that was found, each with the way out.
///
/// Thrown for everything that depends on data (files, configurations, disks); never for a mistake in the
/// calling program, which traps.
public struct CheckpointError: Error, Sendable, Hashable, CustomStringConvertible {
    /// One thing that is wrong.
    public struct Problem: Sendable, Hashable {
        /// The tensor, key or part of the file in question.
        public let subject: String
        /// What stands there.
        public let found: String
        /// What would have been right.
        public let expected: String
        /// What to do about it.
        public let advice: String

        /// A problem described in full.
        public init(_ subject: String, found: String, expected: String, advice: String) {
            self.subject = subject
            self.found = found
            self.expected = expected
            self.advice = advice
        }
    }

    /// The file or folder, as the caller named it.
    public let file: String
    /// At least one problem.
    public let problems: [Problem]

    /// An error that reports several problems of one file at once.
    public init(file: String, problems: [Problem]) {
        precondition(!problems.isEmpty, "an error needs a problem")
        self.file = file
        self.problems = problems
    }

    /// An error with one problem.
    public init(_ file: String, _ subject: String, found: String, expected: String, advice: String) {
        self.init(
            file: file,
            problems: [Problem(subject, found: found, expected: expected, advice: advice)])
    }

    /// One line per problem: file, subject, found, expected, advice.
    public var description: String {
        problems.map { problem in
            "\(file): \(problem.subject): found \(problem.found), expected \(problem.expected). "
                + problem.advice
        }.joined(separator: "\n")
    }
}
