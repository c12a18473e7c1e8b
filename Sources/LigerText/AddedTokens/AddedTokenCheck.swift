/// Whether added tokens agree with a vocabulary.
struct AddedTokenCheck {
    private let vocabulary: Vocabulary
    private let file: String

    init(_ vocabulary: Vocabulary, file: String) {
        self.vocabulary = vocabulary
        self.file = file
    }

    /// Added tokens either are of the vocabulary, with its id, or continue it without a gap.
    ///
    /// The `tokenizers` library numbers them so whatever the file says; a file that disagrees would silently have
    /// two sets of ids. The tokens of the post-processor must be among all of them.
    func check(_ added: [AddedToken], _ processed: [Int32]) throws {
        var seen: Set<[UInt8]> = []
        var next = vocabulary.tokens.count
        for (index, token) in added.enumerated() {
            let field = "added_tokens[\(index)]"
            guard seen.insert(Array(token.content.utf8)).inserted else {
                throw error(field, "\(token.content.quoted) a second time", "name each added token once")
            }
            let known = vocabulary.id(of: token.content).map { Int($0) }
            let expected = known ?? next
            if known == nil { next += 1 }
            guard Int(token.id) == expected else {
                throw error(
                    "\(field).id", "\(token.id) for \(token.content.quoted)",
                    "by vocabulary and order its id is \(expected)")
            }
            // In a vocabulary with gaps an added token could be given the id of another.
            if known == nil, vocabulary.token(id: expected) != nil {
                throw error(
                    "added_tokens",
                    "\(token.content.quoted) with id \(expected), which a token of the vocabulary has",
                    "each token needs an id of its own")
            }
        }
        let size = max(vocabulary.end, next)
        for id in processed where Int(id) >= size {
            throw error(
                "post_processor", "token id \(id)", "the vocabulary with its added tokens ends before \(size)"
            )
        }
    }

    private func error(_ field: String, _ found: String, _ advice: String) -> TokenizerError {
        TokenizerError(.inconsistent, file: file, field: field, found: found, advice: advice)
    }

    /// Two tokens of one normal form could not be told apart in a text.
    static func checkDistinct(_ tokens: [AddedToken], file: String) throws {
        var ids: [[UInt8]: Int32] = [:]
        for token in tokens {
            if let other = ids.updateValue(token.id, forKey: Array(token.content.utf8)) {
                throw TokenizerError(
                    .inconsistent, file: file, field: "added_tokens",
                    found:
                        "tokens \(other) and \(token.id) with the same normalised content \(token.content.quoted)",
                    advice: "keep one of them")
            }
        }
    }
}
