/// The kinds of model that make tokens of words.
enum TokenModel: Sendable {
    case bytePairs(BytePairModel)
    case unigram(UnigramModel)
    case wordPiece(WordPieceModel)
    case wordLevel(WordLevelModel)
}

/// Reads the model of a file.
struct ModelReader {
    private let contents: TokenizerFile.Model
    private let isByteLevel: Bool
    private let file: String

    /// - Parameter isByteLevel: that the vocabulary writes bytes in the byte alphabet.
    init(_ contents: TokenizerFile.Model, isByteLevel: Bool, file: String) {
        self.contents = contents
        self.isByteLevel = isByteLevel
        self.file = file
    }

    /// - Throws: `TokenizerError` for an option that cannot be honoured.
    func options() throws -> ModelOptions {
        let place = JSONField(file: file, path: "model", value: .object(contents.options))
        let options = try ModelOptions(place, isByteLevel: isByteLevel)
        if options.kind != .bytePairs, contents.merges != nil {
            throw error(.unsupported, "merges", "merges", "only models of type BPE have them")
        }
        guard options.kind == .bytePairs || !isByteLevel else {
            throw error(
                .unsupported, "type", options.kind.rawValue.quoted,
                "behind a pre-tokenizer ByteLevel, models of type BPE are supported")
        }
        return options
    }

    /// - Throws: `TokenizerError` for a table of another shape, or that contradicts itself.
    func vocabulary(_ kind: ModelOptions.Kind) throws -> Vocabulary {
        switch contents.vocabulary {
        case .scores(let tokens, _)? where kind == .unigram:
            return try Vocabulary(tokens, ids: Array(0..<tokens.count), file: file)
        case .ids(let tokens, let ids)? where kind != .unigram:
            return try Vocabulary(tokens, ids: ids, file: file)
        case let found:
            throw error(
                .malformed, "vocab", found.map { _ in "another kind of table" } ?? "none",
                kind == .unigram
                    ? "a list of tokens with their scores is expected"
                    : "an object of tokens with their ids is expected")
        }
    }

    /// - Throws: `TokenizerError` for what cannot be honoured or contradicts itself.
    func model(_ options: ModelOptions, _ vocabulary: Vocabulary) throws -> TokenModel {
        switch options.kind {
        case .unigram:
            guard case .scores(_, let scores)? = contents.vocabulary else { break }
            return .unigram(try UnigramModel(vocabulary, scores: scores, options: options, file: file))
        case .wordPiece:
            return .wordPiece(try WordPieceModel(vocabulary, options: options, file: file))
        case .wordLevel:
            let unknown = try options.unknownToken(in: vocabulary, file: file)
            return .wordLevel(WordLevelModel(vocabulary: vocabulary, unknown: unknown))
        case .bytePairs:
            guard let merges = contents.merges else { break }
            return .bytePairs(
                try BytePairModel(
                    vocabulary, merges: merges, options: options, isByteLevel: isByteLevel, file: file))
        }
        throw error(.malformed, "merges", "none", "a list of merges is expected")
    }

    private func error(
        _ kind: TokenizerError.Kind, _ field: String, _ found: String, _ advice: String
    ) -> TokenizerError {
        TokenizerError(kind, file: file, field: "model.\(field)", found: found, advice: advice)
    }
}
