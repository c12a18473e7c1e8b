/// What is wrong with a run file, all of it at once.
package struct RunFileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A fault and where it is.
    package struct Problem: Equatable, Sendable {
        /// Counted from 1; nil where the file as a whole is meant.
        package let line: Int?
        /// What was found, and what to do.
        package let text: String

        package init(line: Int?, _ text: String) { (self.line, self.text) = (line, text) }
    }

    package let path: String
    package let problems: [Problem]

    package init(_ path: String, _ problems: [Problem]) { (self.path, self.problems) = (path, problems) }

    /// A line for each, which begins with the place.
    package var description: String {
        problems.map { problem in
            "\(path)\(problem.line.map { ", line \($0)" } ?? ""): \(problem.text)"
        }.joined(separator: "\n")
    }
}
