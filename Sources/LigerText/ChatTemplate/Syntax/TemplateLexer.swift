/// Cuts a template into tokens, as Jinja does with `trim_blocks` and `lstrip_blocks`.
///
/// White space is decided here. A newline right after a block or comment goes, and so do blanks between a line's start and a
/// block or comment. `-` at a tag removes all white space on its side, `+` keeps all. Cost: one pass over the source.
struct TemplateLexer {
    /// The largest source that is read, in bytes.
    static let maximumByteCount = 4 << 20

    private let source: String
    let scalars: [Unicode.Scalar]
    var position = 0
    private var tokens: [TemplateToken] = []
    /// Whether the last tag ended with a newline, which lets blanks after it be a line's start.
    private var isAtLineStart = true
    /// Where the place of an offset was asked last: offsets only grow.
    private var cursor = (offset: 0, place: SourcePlace(line: 1, column: 1))

    /// - Parameter source: names the template in errors.
    init(_ text: String, source: String) throws {
        self.source = source
        guard text.utf8.count <= Self.maximumByteCount else {
            throw ChatTemplateError(
                .excessive, source: source, found: "a template of \(text.utf8.count) bytes",
                advice: "at most \(Self.maximumByteCount) bytes are read; is this the right file?")
        }
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(text.utf8.count)
        var previous: Unicode.Scalar = " "
        for scalar in text.unicodeScalars {
            if scalar != "\n" || previous != "\r" { scalars.append(scalar == "\r" ? "\n" : scalar) }
            previous = scalar
        }
        if scalars.last == "\n" { scalars.removeLast() }
        self.scalars = scalars
    }

    /// All tokens, with `.end` as the last.
    mutating func readTokens() throws -> [TemplateToken] {
        while position < scalars.count {
            guard let tag = nextTag() else {
                append(.text(text(position..<scalars.count)), at: position)
                position = scalars.count
                break
            }
            let raw = scalars[tag + 1] == "%" ? rawBegin(at: tag) : nil
            let sign = sign(at: tag + 2)
            appendText(position..<tag, sign: sign, beforeOutput: scalars[tag + 1] == "{")
            position = tag + (sign == nil ? 2 : 3)
            switch scalars[tag + 1] {
            case "#": try skipComment(from: tag)
            case "%" where raw != nil:
                position = raw ?? position
                isAtLineStart = scalars[position - 1] == "\n"
                try readRaw(from: tag)
            case "%": try readTag(.blockBegin, .blockEnd, end: "%", from: tag)
            default: try readTag(.outputBegin, .outputEnd, end: "}", from: tag)
            }
            isAtLineStart = scalars[position - 1] == "\n"
        }
        append(.end, at: scalars.count)
        return tokens
    }

    /// The next `{%`, `{{` or `{#` from the current position on.
    private func nextTag() -> Int? {
        var index = position
        while index + 1 < scalars.count {
            if scalars[index] == "{" {
                switch scalars[index + 1] {
                case "%", "{", "#": return index
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    private func sign(at index: Int) -> Unicode.Scalar? {
        guard index < scalars.count, scalars[index] == "-" || scalars[index] == "+" else { return nil }
        return scalars[index]
    }

    /// Text before a tag, without the white space that the tag takes.
    private mutating func appendText(_ range: Range<Int>, sign: Unicode.Scalar?, beforeOutput: Bool) {
        var end = range.upperBound
        if sign == "-" {
            while end > range.lowerBound, scalars[end - 1].isPythonSpace { end -= 1 }
        } else if sign == nil, !beforeOutput {
            var start = end
            while start > range.lowerBound, scalars[start - 1] != "\n" { start -= 1 }
            let isLine = start > range.lowerBound || isAtLineStart
            if isLine, scalars[start..<end].allSatisfy(\.isPythonSpace) { end = start }
        }
        if end > range.lowerBound { append(.text(text(range.lowerBound..<end)), at: range.lowerBound) }
    }

    private mutating func skipComment(from tag: Int) throws {
        let start = position
        guard let end = firstIndex(of: "#", then: "}", from: start) else {
            throw error(.malformed, "a comment without its end", "close it with #}", at: tag)
        }
        position = end + 2
        skipAfterTag(sign: end > start ? sign(at: end - 1) : nil)
    }

    /// The white space after a block or comment: all after `-`, none after `+`, else one newline.
    private mutating func skipAfterTag(sign: Unicode.Scalar?) {
        switch sign {
        case "-": skipSpace()
        case "+": break
        default: if position < scalars.count, scalars[position] == "\n" { position += 1 }
        }
    }

    private func firstIndex(of first: Unicode.Scalar, then second: Unicode.Scalar, from start: Int) -> Int? {
        var index = start
        while index + 1 < scalars.count {
            if scalars[index] == first, scalars[index + 1] == second { return index }
            index += 1
        }
        return nil
    }

    mutating func skipSpace() {
        while position < scalars.count, scalars[position].isPythonSpace { position += 1 }
    }

    mutating func append(_ kind: TemplateToken.Kind, at offset: Int) {
        tokens.append(TemplateToken(kind: kind, place: place(of: offset)))
    }

    private mutating func place(of offset: Int) -> SourcePlace {
        for index in cursor.offset..<max(offset, cursor.offset) {
            if scalars[index] == "\n" {
                cursor.place = SourcePlace(line: cursor.place.line + 1, column: 1)
            } else {
                cursor.place.column += 1
            }
        }
        cursor.offset = max(offset, cursor.offset)
        return cursor.place
    }

    mutating func error(
        _ kind: ChatTemplateError.Kind, _ found: String, _ advice: String, at offset: Int
    ) -> ChatTemplateError {
        ChatTemplateError(kind, source: source, at: place(of: offset), found: found, advice: advice)
    }

    func text(_ range: Range<Int>) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[range])
        return String(text)
    }
}

extension TemplateLexer {
    /// The end of `{% raw %}` at `tag`, if that is what stands there. It takes no newline with it.
    private func rawBegin(at tag: Int) -> Int? {
        guard var index = word("raw", at: tag) else { return nil }
        let isTrimming = index < scalars.count && scalars[index] == "-"
        if isTrimming { index += 1 }
        guard index + 1 < scalars.count, scalars[index] == "%", scalars[index + 1] == "}" else { return nil }
        index += 2
        while isTrimming, index < scalars.count, scalars[index].isPythonSpace { index += 1 }
        return index
    }

    /// The place after `{%`, a sign, white space, `word` and white space.
    private func word(_ word: String, at tag: Int) -> Int? {
        var index = tag + 2
        if sign(at: index) != nil { index += 1 }
        while index < scalars.count, scalars[index].isPythonSpace { index += 1 }
        let letters = Array(word.unicodeScalars)
        guard scalars[index...].starts(with: letters) else { return nil }
        index += letters.count
        while index < scalars.count, scalars[index].isPythonSpace { index += 1 }
        return index
    }

    private mutating func readRaw(from tag: Int) throws {
        let start = position
        var search = start
        while let end = firstIndex(of: "{", then: "%", from: search) {
            search = end + 1
            guard var index = word("endraw", at: end) else { continue }
            let closing = sign(at: index)
            if closing != nil { index += 1 }
            guard index + 1 < scalars.count, scalars[index] == "%", scalars[index + 1] == "}" else {
                continue
            }
            appendText(start..<end, sign: sign(at: end + 2), beforeOutput: false)
            position = index + 2
            skipAfterTag(sign: closing)
            return
        }
        throw error(.malformed, "raw without its end", "close it with {% endraw %}", at: tag)
    }

    /// The tokens of a block or an output. Its end counts only outside of brackets.
    private mutating func readTag(
        _ begin: TemplateToken.Kind, _ endKind: TemplateToken.Kind, end: Unicode.Scalar, from tag: Int
    ) throws {
        append(begin, at: tag)
        var brackets: [TemplateToken.Mark] = []
        while position < scalars.count {
            if brackets.isEmpty, let sign = tagEnd(end) {
                append(endKind, at: position)
                position += sign.isEmpty ? 2 : 3
                if end == "%" {
                    skipAfterTag(sign: sign.first)
                } else if sign.first == "-" {
                    skipSpace()
                }
                return
            }
            if scalars[position].isPythonSpace {
                position += 1
            } else {
                try readToken(&brackets)
            }
        }
        throw error(
            .malformed, end == "%" ? "a tag {% without its end" : "an output {{ without its end",
            end == "%" ? "close it with %}" : "close it with }}", at: tag)
    }

    /// The sign of the tag's end if it stands here: empty for none, nil where no end stands. An output has no `+`.
    private func tagEnd(_ end: Unicode.Scalar) -> [Unicode.Scalar]? {
        let sign = sign(at: position).flatMap { $0 == "+" && end == "}" ? nil : $0 }
        let index = sign == nil ? position : position + 1
        guard index + 1 < scalars.count, scalars[index] == end, scalars[index + 1] == "}" else { return nil }
        return sign.map { [$0] } ?? []
    }
}
