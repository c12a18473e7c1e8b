/// What a file cuts or replaces text by: a string, or a regular expression.
enum TextPattern: Sendable {
    /// UTF-8; an empty one occurs nowhere.
    case literal([UInt8])
    case regex(RegexProgram)

    /// Reads `{"String": ..}` or `{"Regex": ..}`.
    ///
    /// - Throws: `TokenizerError` of kind `unsupported` for an expression beyond the subset, with the expression.
    init(_ place: JSONField) throws {
        let pattern = try place.object(known: ["String", "Regex"])
        let literal = pattern["String"]
        guard literal.isNull else {
            self = .literal(Array(try literal.string().utf8))
            return
        }
        let regex = pattern["Regex"]
        do {
            self = .regex(try RegexProgram(try regex.string()))
        } catch let error as RegexError {
            throw regex.error(
                .unsupported,
                "this regular expression is beyond the supported ones: \(error.reason)")
        }
    }

    /// A finder of its occurrences in one text, which the caller keeps alive.
    func finder(in text: UTF8Text) -> Finder {
        switch self {
        case .literal(let bytes): Finder(text: text, literal: bytes, matcher: nil)
        case .regex(let program): Finder(text: text, literal: [], matcher: RegexMatcher(program, text: text))
        }
    }

    /// Finds occurrences from left to right.
    struct Finder {
        fileprivate let text: UTF8Text
        fileprivate let literal: [UInt8]
        fileprivate var matcher: RegexMatcher?

        /// Turns to a piece of the text.
        mutating func begin(_ piece: Range<Int>) { matcher?.begin(piece) }

        /// The first occurrence in the piece that begins at or after `start`.
        mutating func next(from start: Int, in piece: Range<Int>) -> Range<Int>? {
            if matcher != nil { return matcher?.firstMatch(from: start) }
            guard let first = literal.first else { return nil }
            var offset = start
            while offset + literal.count <= piece.upperBound {
                if text.bytes[offset] == first,
                    text.bytes[offset..<offset + literal.count].elementsEqual(literal)
                {
                    return offset..<offset + literal.count
                }
                offset += 1
            }
            return nil
        }
    }
}
