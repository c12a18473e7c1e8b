/// What became of examples that are longer than a row.
struct LengthReport: Sendable, Equatable {
    private(set) var cut = 0
    private(set) var dropped = 0
    /// The line of the first one that was left out.
    private(set) var firstDropped: Int?

    /// An example, not longer than a row and with something to learn; nil if it is left out.
    ///
    /// - Throws: `TrainerError` (`textTooShort`) for one that is too long, if that is asked for.
    mutating func fitting(
        _ example: InstructionExample, of path: String, to length: Int,
        _ rule: TrainingOptions.InstructionChoice.OverLength
    ) throws -> InstructionExample? {
        if example.length <= length { return example }
        if rule == .refuse { throw Self.tooLong(example, path, length) }
        let shorter = example.cut(to: length)
        if rule == .cut, shorter.learnedCount > 0 {
            cut += 1
            return shorter
        }
        dropped += 1
        firstDropped = firstDropped ?? example.line
        return nil
    }

    private static func tooLong(_ example: InstructionExample, _ path: String, _ length: Int) -> TrainerError
    {
        TrainerError(
            .textTooShort,
            "\(path), line \(example.line): the example has \(Format.integer(example.tokens.count)) tokens, and --seq "
                + "\(length) has room for \(Format.integer(length + 1)).",
            remedy: "Give --seq \(example.length) at least, shorten it, or give --over-length cut or drop.")
    }

    /// For people; nil where none was too long.
    var summary: String? {
        var parts: [String] = []
        if cut > 0 { parts.append("\(Format.count(cut, "example")) cut to --seq") }
        if dropped > 0 {
            let first = firstDropped.map { ", the first in line \(Format.integer($0))" } ?? ""
            parts.append("\(Format.count(dropped, "example")) left out as too long\(first)")
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }
}
