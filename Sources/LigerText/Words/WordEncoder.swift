/// What makes tokens of one word. Holds scratch memory, so that a word costs no allocation.
protocol WordEngine {
    /// Appends the tokens of `word` to `output`.
    mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32])
}

/// Encodes the words of one text, remembering those it met before.
struct WordEncoder<Engine: WordEngine> {
    private let text: UnsafeBufferPointer<UInt8>
    private let wholeWords: WholeWords?
    private var engine: Engine
    private var cache: WordCache

    /// The caller keeps `text` alive.
    init(_ engine: Engine, wholeWords: WholeWords?, text: UnsafeBufferPointer<UInt8>) {
        self.text = text
        self.wholeWords = wholeWords
        self.engine = engine
        cache = WordCache(textLength: text.count)
    }

    /// Appends the tokens of the word that stands at `word`.
    mutating func append(_ word: Range<Int>, to output: inout [Int32]) {
        let isCached = word.count > 1 && word.count <= WordCache.longestWord
        guard isCached || wholeWords != nil else {
            engine.append(UnsafeBufferPointer(rebasing: text[word]), to: &output)
            return
        }
        let hash = WordCache.hash(word, in: text)
        if isCached, let known = cache.tokens(of: word, hash: hash, in: text) {
            // One by one: appending a slice of the array to itself would copy all of it.
            for index in known { output.append(output[index]) }
            return
        }
        let first = output.count
        let bytes = UnsafeBufferPointer(rebasing: text[word])
        if let token = wholeWords?.token(for: bytes, hash: hash) {
            output.append(token)
        } else {
            engine.append(bytes, to: &output)
        }
        if isCached { cache.insert(word, hash: hash, tokens: first..<output.count) }
    }
}
