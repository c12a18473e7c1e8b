/// Finds the matches of a `RegexProgram` in one text, by trying alternatives in order and going back.
///
/// Going back over the same ground again and again is what makes such matchers slow on hostile texts. After a number of
/// steps that no ordinary text needs, the matcher notes which instruction failed at which place, as what follows from
/// there does not depend on how it was reached. From then on each is tried once, which bounds the cost by the size of
/// the program times the length of the text.
struct RegexMatcher {
    /// What to try when something fails: `place` at `position`, then one character less down to `least`.
    private struct Choice {
        var place: Int
        var position: Int
        var least: Int
    }

    private let text: UTF8Text
    private let program: RegexProgram
    private var piece = 0..<0
    private var choices: [Choice] = []
    private var steps = 0
    private var failed: RegexFailures?

    /// The caller keeps the text alive.
    init(_ program: RegexProgram, text: UTF8Text) {
        self.program = program
        self.text = text
    }

    /// Turns to a piece of the text: what ends with it ends the text to the expression.
    mutating func begin(_ piece: Range<Int>) {
        self.piece = piece
        steps = 0
        failed = nil
    }

    /// The first match in the piece that begins at or after `start`.
    mutating func firstMatch(from start: Int) -> Range<Int>? {
        var start = start
        while start < piece.upperBound {
            if let end = match(at: start) { return start..<end }
            start += text.scalar(at: start).length
        }
        return nil
    }

    /// The end of the match that begins at `start`.
    private mutating func match(at start: Int) -> Int? {
        choices.removeAll(keepingCapacity: true)
        var place = program.entry
        var position = start
        while true {
            if run(&place, &position) { return position }
            guard takeChoice(&place, &position) else { return nil }
        }
    }

    /// Runs until the program accepts or something fails.
    private mutating func run(_ place: inout Int, _ position: inout Int) -> Bool {
        let limit = piece.upperBound
        let code = program.code
        let classes = program.classes
        while true {
            let instruction = code[place]
            switch instruction.operation {
            case .accept: return true
            case .set:
                guard position < limit else { return false }
                let (value, length) = text.scalar(at: position)
                guard classes.membership(value) & instruction.mask != 0 else { return false }
                position += length
            case .run, .possessiveRun:
                guard takeRun(instruction, place, &position, classes) else { return false }
            case .split:
                let isPossible =
                    instruction.flag
                    || position < limit
                        && classes.membership(text.scalar(at: position).value) & instruction.mask != 0
                guard isPossible else {
                    place = instruction.other
                    continue
                }
                choices.append(Choice(place: instruction.other, position: position, least: position))
            case .lookahead:
                let isThere = isAhead(program.lookaheads[instruction.other], position, classes)
                guard isThere != instruction.flag else { return false }
            case .lineEnd:
                guard position == limit || text.bytes[position] == 0x0A else { return false }
            }
            place = instruction.next
        }
    }

    @inline(__always)
    private mutating func takeRun(
        _ run: RegexProgram.Instruction, _ place: Int, _ position: inout Int, _ classes: ScalarClasses
    ) -> Bool {
        let limit = piece.upperBound
        let known = run.maximum == .max ? failed?.ends(of: place, from: position) : nil
        let isPossessive = run.operation == .possessiveRun
        var end = position
        var least = position
        var count = 0
        while count < run.maximum, end < limit {
            let (value, length) = text.scalar(at: end)
            guard classes.membership(value) & run.mask != 0 else { break }
            // To end behind this character was tried from an earlier place, in vain, and so was all beyond.
            if let known {
                if isPossessive, known.contains(end) { return false }
                if !isPossessive, known.contains(end + length) { break }
            }
            end += length
            count += 1
            if count == run.minimum { least = end }
        }
        steps += count
        guard count >= run.minimum else { return false }
        if run.maximum == .max {
            failed?.note(isPossessive ? position...end : least...end, endsOf: place)
        }
        position = end
        if !isPossessive, end > least {
            choices.append(Choice(place: run.next, position: end, least: least))
        }
        return true
    }

    private func isAhead(_ alternatives: [[UInt64]], _ position: Int, _ classes: ScalarClasses) -> Bool {
        let limit = piece.upperBound
        return alternatives.contains { sets in
            var offset = position
            for mask in sets {
                guard offset < limit else { return false }
                let (value, length) = text.scalar(at: offset)
                guard classes.membership(value) & mask != 0 else { return false }
                offset += length
            }
            return true
        }
    }

    /// Goes back to the last choice that is not known to fail.
    private mutating func takeChoice(_ place: inout Int, _ position: inout Int) -> Bool {
        if failed == nil, steps > 64 * piece.count + 1000 {
            failed = RegexFailures(places: program.code.count, piece: piece)
        }
        while let choice = choices.popLast() {
            steps += 1
            if failed == nil, steps & 0xFFF == 0, steps > 64 * piece.count + 1000 {
                failed = RegexFailures(places: program.code.count, piece: piece)
            }
            place = choice.place
            position = choice.position
            if position > choice.least {
                position = text.start(before: position)
                if position > choice.least {
                    choices.append(Choice(place: place, position: position, least: choice.least))
                }
            }
            if failed?.isNew(place, position) ?? true { return true }
        }
        return false
    }
}
