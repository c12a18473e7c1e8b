/// One step of cutting a text into words.
enum PreTokenizer: Sendable {
    /// A space before each text that does not begin with one.
    case prefixSpace
    /// A known expression, of which every match is a piece.
    case scan(SplitPattern)
    case split(TextPattern, SplitBehavior, isInverted: Bool)
    case splitAt(ScalarTest, SplitBehavior)
    /// Runs of word characters and runs of other characters; white space is left out.
    case wordsAndOthers
    case metaspace(Metaspace)

    /// Cuts all texts of `prepared` further.
    func apply(to prepared: inout PreparedText) {
        switch self {
        case .prefixSpace:
            rewrite(&prepared) { text, _, output in
                if text.bytes.first != UInt8(ascii: " ") { output.append(UInt8(ascii: " ")) }
                output.append(contentsOf: text.bytes)
            }
        case .scan(let pattern):
            cut(&prepared, .isolated, isInverted: false) { text in
                let scanner = WordScanner(text: text, pattern: pattern)
                return { range, joiner in
                    var start = range.lowerBound
                    while start < range.upperBound {
                        let end = scanner.end(from: start, limit: range.upperBound)
                        joiner.add(start..<end, isMatch: true)
                        start = end
                    }
                }
            }
        case .split(let pattern, let behavior, let isInverted):
            cut(&prepared, behavior, isInverted: isInverted) { text in
                var finder = pattern.finder(in: text)
                return { range, joiner in Self.addMatches(of: &finder, in: range, to: &joiner) }
            }
        case .splitAt(let test, let behavior):
            cut(&prepared, behavior, isInverted: false) { text in
                { range, joiner in Self.addCharacters(test, of: text, in: range, to: &joiner) }
            }
        case .wordsAndOthers:
            cut(&prepared, .removed, isInverted: false) { text in
                { range, joiner in Self.addWords(of: text, in: range, to: &joiner) }
            }
        case .metaspace(let metaspace):
            rewrite(&prepared) { text, isFirst, output in
                metaspace.append(text, isFirst: isFirst, to: &output)
            }
            guard metaspace.splits else { return }
            PreTokenizer.split(.literal(metaspace.replacement), .mergedWithNext, isInverted: false)
                .apply(to: &prepared)
        }
    }

    /// Gives each text other bytes.
    private func rewrite(
        _ prepared: inout PreparedText, _ append: (UTF8Text, _ isFirst: Bool, inout [UInt8]) -> Void
    ) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(prepared.bytes.count * 9 / 8 + 16)
        prepared.bytes.withUnsafeBufferPointer { old in
            for index in prepared.pieces.indices {
                guard case .text(let range) = prepared.pieces[index] else { continue }
                let start = bytes.count
                let text = UTF8Text(bytes: UnsafeBufferPointer(rebasing: old[range]))
                append(text, prepared.beginsWithText && range.lowerBound == 0, &bytes)
                prepared.pieces[index] = .text(start..<bytes.count)
            }
        }
        prepared.bytes = bytes
    }

    /// Cuts each text by what `cutter` makes for the whole.
    private func cut(
        _ prepared: inout PreparedText, _ behavior: SplitBehavior, isInverted: Bool,
        _ cutter: (UTF8Text) -> (Range<Int>, inout PieceJoiner) -> Void
    ) {
        var joiner = PieceJoiner(behavior, isInverted: isInverted)
        prepared.bytes.withUnsafeBufferPointer { bytes in
            let cut = cutter(UTF8Text(bytes: bytes))
            for piece in prepared.pieces {
                guard case .text(let range) = piece else {
                    joiner.append(piece)
                    continue
                }
                joiner.begin()
                cut(range, &joiner)
            }
        }
        prepared.pieces = joiner.finished()
    }

    private static func addMatches(
        of finder: inout TextPattern.Finder, in range: Range<Int>, to joiner: inout PieceJoiner
    ) {
        finder.begin(range)
        var start = range.lowerBound
        while start < range.upperBound, let match = finder.next(from: start, in: range) {
            joiner.add(start..<match.lowerBound, isMatch: false)
            joiner.add(match, isMatch: true)
            start = match.upperBound
        }
        joiner.add(start..<range.upperBound, isMatch: false)
    }

    /// Each character of the kind is a match of its own.
    private static func addCharacters(
        _ test: ScalarTest, of text: UTF8Text, in range: Range<Int>, to joiner: inout PieceJoiner
    ) {
        var start = range.lowerBound
        var offset = start
        while offset < range.upperBound {
            let (value, length) = text.scalar(at: offset)
            if test.holds(value) {
                joiner.add(start..<offset, isMatch: false)
                joiner.add(offset..<offset + length, isMatch: true)
                start = offset + length
            }
            offset += length
        }
        joiner.add(start..<range.upperBound, isMatch: false)
    }

    private static func addWords(of text: UTF8Text, in range: Range<Int>, to joiner: inout PieceJoiner) {
        /// White space 0, word characters 1, others 2.
        func kind(_ value: UInt32) -> Int {
            if ScalarTest.isSpace(value) { return 0 }
            return Unicode.Scalar(value).map(CharacterClass.isWordCharacter) ?? false ? 1 : 2
        }
        var start = range.lowerBound
        while start < range.upperBound {
            let (first, length) = text.scalar(at: start)
            let kindHere = kind(first)
            var end = start + length
            while end < range.upperBound {
                let (value, length) = text.scalar(at: end)
                guard kind(value) == kindHere else { break }
                end += length
            }
            joiner.add(start..<end, isMatch: kindHere == 0)
            start = end
        }
    }
}
