internal import LigerText

/// That a model has a row for every token it is given.
///
/// A tokenizer may have added tokens beyond: Gemma 3's has one for images, for which the models of text alone have no row.
/// Text must do without them then.
struct VocabularyCheck: Sendable {
    /// Rows of the model's embedding.
    let size: Int
    private let tokenizer: any Tokenizer

    /// - Parameter name: of the tokenizer, as in "The tokenizer of a folder".
    /// - Throws: `TrainerError` (`vocabularyMismatch`) where text could not do without tokens beyond.
    init(_ tokenizer: any Tokenizer, size: Int, name: String) throws {
        (self.tokenizer, self.size) = (tokenizer, size)
        guard tokenizer.ordinaryVocabularySize > size else { return }
        throw TrainerError(
            .vocabularyMismatch,
            "\(name) has \(Format.integer(tokenizer.vocabularySize)) tokens, the model only \(Format.integer(size)).",
            remedy: "Give a model whose vocab_size holds the tokenizer's, or its own tokenizer.json.")
    }

    /// Whether the tokenizer has tokens beyond.
    var isNeeded: Bool { tokenizer.vocabularySize > size }

    /// - Parameter place: where the tokens are, as in "book.txt".
    /// - Throws: `TrainerError` (`vocabularyMismatch`) for a token beyond.
    func check(_ tokens: [Int32], in place: @autoclosure () -> String) throws {
        guard isNeeded, let token = tokens.first(where: { $0 >= size }) else { return }
        throw TrainerError(
            .vocabularyMismatch,
            "\(place()) has the token \(tokenizer.decode([token]).quoted), which is number \(token) of the tokenizer, and "
                + "the model has \(Format.integer(size)) tokens.",
            remedy: "Leave it out, or give a model whose vocab_size holds it.")
    }
}
