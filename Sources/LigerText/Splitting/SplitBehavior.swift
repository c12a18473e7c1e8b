/// What becomes of the delimiters that a text is split at.
enum SplitBehavior: String, CaseIterable, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    init(_ place: JSONField) throws {
        guard let behavior = SplitBehavior(rawValue: try place.string()) else {
            throw place.error(
                .unsupported, "supported are \(Self.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self = behavior
    }
}

/// Joins delimiters and what lies between them into pieces, one text at a time.
struct PieceJoiner {
    let behavior: SplitBehavior
    /// Whether what lies between matches is the delimiter.
    let isInverted: Bool
    private var wasDelimiter = false
    private var pieces: [AddedTokenMatcher.Piece] = []
    /// Where the pieces of this text begin.
    private var first = 0

    init(_ behavior: SplitBehavior, isInverted: Bool) {
        self.behavior = behavior
        self.isInverted = isInverted
    }

    /// Takes the pieces that were made.
    consuming func finished() -> [AddedTokenMatcher.Piece] { pieces }

    /// A token, which is no text.
    mutating func append(_ token: AddedTokenMatcher.Piece) { pieces.append(token) }

    /// Turns to another text.
    mutating func begin() {
        wasDelimiter = false
        first = pieces.count
    }

    /// The next part of the text, a match or what lies before the next one.
    mutating func add(_ range: Range<Int>, isMatch: Bool) {
        guard !range.isEmpty else { return }
        let isDelimiter = isMatch != isInverted
        defer { wasDelimiter = isDelimiter }
        let joins =
            switch behavior {
            case .isolated, .removed: false
            case .contiguous: isDelimiter == wasDelimiter
            case .mergedWithPrevious: isDelimiter && !wasDelimiter
            case .mergedWithNext: !isDelimiter && wasDelimiter
            }
        if joins, pieces.count > first, case .text(let last)? = pieces.last {
            pieces[pieces.count - 1] = .text(last.lowerBound..<range.upperBound)
        } else if behavior != .removed || !isDelimiter {
            pieces.append(.text(range))
        }
    }
}
