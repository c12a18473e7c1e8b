/// A piece of a template's source.
struct TemplateToken: Sendable {
    enum Kind: Sendable, Equatable {
        /// Text outside of tags, with white space already removed as its neighbours ask.
        case text(String)
        case blockBegin, blockEnd
        case outputBegin, outputEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case mark(Mark)
        case end
    }

    /// Operators and brackets.
    enum Mark: String, Sendable, CaseIterable {
        case power = "**", floorDivide = "//", equal = "==", unequal = "!=", atLeast = ">=", atMost = "<="
        case plus = "+", minus = "-", divide = "/", times = "*", modulo = "%", join = "~"
        case openBracket = "[", closeBracket = "]", openParenthesis = "(", closeParenthesis = ")"
        case openBrace = "{", closeBrace = "}", greater = ">", less = "<", assign = "="
        case dot = ".", colon = ":", pipe = "|", comma = ",", semicolon = ";"

        /// What closes this bracket.
        var closing: Mark? {
            switch self {
            case .openBracket: .closeBracket
            case .openParenthesis: .closeParenthesis
            case .openBrace: .closeBrace
            default: nil
            }
        }

        /// Longest first, so that `**` is not read as two of `*`.
        static let bySize = allCases.sorted { $0.rawValue.utf8.count > $1.rawValue.utf8.count }
            .map { (mark: $0, scalars: Array($0.rawValue.unicodeScalars)) }
    }

    var kind: Kind
    var place: SourcePlace

    /// The token in a few words, for messages.
    var summary: String {
        switch kind {
        case .text: "text"
        case .blockBegin: "{%"
        case .blockEnd: "the tag's end %}"
        case .outputBegin: "{{"
        case .outputEnd: "the end }}"
        case .name(let name): name.quoted
        case .string(let text): "the string \(text.quoted)"
        case .integer(let value): String(value)
        case .float(let value): String(value)
        case .mark(let mark): "\"\(mark.rawValue)\""
        case .end: "the template's end"
        }
    }
}
