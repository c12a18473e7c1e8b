internal import LigerText
internal import Platform

/// Makes tokens of data, in memory or in the cache.
struct TokenMaker {
    let tokenizer: any Tokenizer
    /// The tokenizer's file; nil for bytes.
    let tokenizerFile: String?
    let vocabulary: VocabularyCheck
    let chats: ChatTemplates

    /// What tokens follow from, of the tokenizer.
    ///
    /// - Throws: `TrainerError` (`unknownModel`) if its file has gone.
    private func identity() throws -> String {
        func ids(_ ids: [Int32]) -> String { ids.map(String.init).joined(separator: ",") }
        let names = [tokenizer.beginningOfTextID, tokenizer.endOfTextID].map { $0.map(String.init) ?? "none" }
        let ends = "opening \(ids(tokenizer.openingIDs)), end \(ids(tokenizer.documentEnd)), "
        guard let tokenizerFile else { return "bytes" }
        let named = (tokenizer as? FileTokenizer)?.namedIDs ?? []
        let special = named.isEmpty ? "" : "special \(ids(named)), "
        let rows = vocabulary.isNeeded ? "rows \(vocabulary.size), " : ""
        do {
            return ends + special + rows + "names \(names.joined(separator: ",")), "
                + "file \(try Checksum.digits(ofFile: tokenizerFile))"
        } catch let failure as FileSystem.Failure {
            throw TrainerError(
                .unknownModel, "Cannot read \(failure.path): \(failure.reason).",
                remedy: "Give a --model whose files stay.")
        }
    }

    /// The tokens of a text; each document begins and ends as the tokenizer's post-processor has it, and ends with the
    /// tokenizer's end of text, if it has one.
    ///
    /// - Throws: `TrainerError`: `dataUnreadable` for a file that was changed or removed, `cacheUnwritable`,
    ///   `vocabularyMismatch` for a token that the model has no row for.
    /// - Cost: with a cache some MiB of memory.
    func tokens(
        of corpus: Corpus, in cache: TokenCache? = nil, progress: DataProgress = .silent
    ) throws -> (tokens: TokenSource, notes: [String]) {
        func make(_ emit: ([Int32]) throws -> Void) throws {
            try corpus.encode(tokenizer, progress) {
                try vocabulary.check($0, in: corpus.root)
                try emit($0)
            }
        }
        guard let cache else {
            var tokens: [Int32] = []
            try make { tokens += $0 }
            return (.memory(tokens), [])
        }
        let key = CacheKey(kind: "text", data: corpus.parts, tokenizer: try identity(), settings: [:])
        let found = try cache.entry(
            key, vocabulary: tokenizer.vocabularySize, hasRecords: false, note: progress.note
        ) { writer in
            try make { try writer.add($0) }
        }
        return (.cache(found.entry), found.notes)
    }

    /// The examples of a file as tokens.
    ///
    /// - Parameters:
    ///   - settings: what decides them in addition to file, tokenizer and chat template.
    ///   - encode: makes tokens of one, which may become several.
    /// - Throws: `TrainerError`, `vocabularyMismatch` for a token that the model has no row for; what `encode` throws.
    func examples<Example: CachedExample>(
        of file: ExampleFile, settings: [String: String], in cache: TokenCache?, progress: DataProgress,
        _ encode: (ExampleFile.Example) throws -> [Example]
    ) throws -> (examples: ExampleList<Example>, notes: [String]) {
        progress.begin(total: file.part.bytes)
        defer { progress.end() }
        func add(_ emit: (Example) throws -> Void) throws {
            try file.forEach { example, done in
                for made in try encode(example) {
                    if vocabulary.isNeeded {
                        try vocabulary.check(made.allTokens, in: "\(file.path), line \(example.line)")
                    }
                    try emit(made)
                }
                progress.update(done)
            }
        }
        guard let cache else {
            var examples: [Example] = []
            try add { examples.append($0) }
            return (ExampleList(examples), [])
        }
        let key = CacheKey(
            kind: "\(file.form)", data: [file.part], tokenizer: try identity(),
            settings: settings.merging(chats.settings) { $1 })
        let found = try cache.entry(
            key, vocabulary: tokenizer.vocabularySize, hasRecords: true, note: progress.note
        ) { writer in
            try add { try writer.add(fields: $0.fields, tokens: $0.allTokens) }
        }
        return (found.entry.examples(), found.notes)
    }
}
