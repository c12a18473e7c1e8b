/// What became of examples that are longer than a row.
struct LengthReport: Sendable, Equatable {
    private(set) var cut = 0
    private(set) var dropped = 0
    /// The lines of the first ones that were cut.
    private(set) var firstCut: [Int] = []
    /// The lines of the first ones that were left out.
    private(set) var firstDropped: [Int] = []
    /// How many lines are named.
    static let named = 5

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
            if firstCut.count < Self.named { firstCut.append(example.line) }
            return shorter
        }
        dropped += 1
        if firstDropped.count < Self.named { firstDropped.append(example.line) }
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

    /// `line 3`, `lines 3, 5 and 8`, or `lines 3, 5, 8, 9, 12 and 7 more`.
    static func lines(_ first: [Int], of count: Int) -> String {
        var names = first.map { Format.integer($0) }
        if count > first.count { names.append("\(Format.integer(count - first.count)) more") }
        guard names.count > 1, let last = names.popLast() else { return "line \(names.joined())" }
        return "lines \(names.joined(separator: ", ")) and \(last)"
    }

    /// For people; nil where none was too long.
    var summary: String? {
        var parts: [String] = []
        if cut > 0 {
            parts.append("\(Format.count(cut, "example")) cut to --seq, \(Self.lines(firstCut, of: cut))")
        }
        if dropped > 0 {
            parts.append(
                "\(Format.count(dropped, "example")) left out as too long, \(Self.lines(firstDropped, of: dropped))"
            )
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }
}
