/// The syntax tree of a regular expression, of the kinds that tokenizers split text by.
indirect enum RegexNode: Sendable {
    /// One character of a set.
    case set(ScalarSet)
    case sequence([RegexNode])
    /// The first that leads to a match.
    case alternatives([RegexNode])
    /// A set as often as possible. A possessive one gives nothing back.
    case run(ScalarSet, minimum: Int, maximum: Int?, isPossessive: Bool)
    /// A group once, or not at all.
    case optional(RegexNode)
    /// What follows is one of these, or is not.
    case lookahead([[ScalarSet]], negated: Bool)
    /// The end of the text or of a line.
    case lineEnd

    /// Whether it can match without a character.
    var matchesEmpty: Bool {
        switch self {
        case .set: false
        case .sequence(let parts): parts.allSatisfy(\.matchesEmpty)
        case .alternatives(let parts): parts.contains(where: \.matchesEmpty)
        case .run(_, let minimum, _, _): minimum == 0
        case .optional, .lookahead, .lineEnd: true
        }
    }
}

/// What of a regular expression is not supported, and where it stands.
struct RegexError: Error {
    let reason: String
}
