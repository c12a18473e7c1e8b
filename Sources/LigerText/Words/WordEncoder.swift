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
    private let memory: WordMemory

    /// The caller keeps `text` alive.
    ///
    /// - Parameter memory: of words that this tokenizer met before.
    init(
        _ engine: Engine, wholeWords: WholeWords?, memory: WordMemory, text: UnsafeBufferPointer<UInt8>
    ) {
        self.text = text
        self.wholeWords = wholeWords
        self.engine = engine
        self.memory = memory
    }

    /// Appends the tokens of the word that stands at `word`.
    @inline(__always)
    mutating func append(_ word: Range<Int>, to output: inout [Int32]) {
        guard word.count <= WordMemory.longestWord else { return encode(word, to: &output) }
        let key = memory.key(of: word, in: text)
        if memory.append(key, to: &output) { return }
        let first = output.count
        encode(word, to: &output)
        memory.insert(key, tokens: output[first...])
    }

    @inline(never)
    private mutating func encode(_ word: Range<Int>, to output: inout [Int32]) {
        let bytes = UnsafeBufferPointer(rebasing: text[word])
        if let wholeWords, let token = wholeWords.token(for: bytes) {
            output.append(token)
        } else {
            engine.append(bytes, to: &output)
        }
    }
}
