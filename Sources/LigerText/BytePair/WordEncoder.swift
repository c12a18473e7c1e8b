/// Encodes the words of one text, remembering those it met before.
struct WordEncoder {
    private let text: UnsafeBufferPointer<UInt8>
    private let wholeWords: WholeWords?
    private var merger: PairMerger
    private var cache: WordCache

    /// The caller keeps `text` alive.
    init(_ tokenizer: BytePairTokenizer, text: UnsafeBufferPointer<UInt8>) {
        self.text = text
        wholeWords = tokenizer.wholeWords
        merger = PairMerger(merges: tokenizer.merges, tokenOfByte: tokenizer.tokenOfByte)
        cache = WordCache(textLength: text.count)
    }

    /// Appends the tokens of the word that stands at `word`.
    mutating func append(_ word: Range<Int>, to output: inout [Int32]) {
        let isCached = word.count > 1 && word.count <= WordCache.longestWord
        guard isCached || wholeWords != nil else {
            merger.append(UnsafeBufferPointer(rebasing: text[word]), to: &output)
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
            merger.append(bytes, to: &output)
        }
        if isCached { cache.insert(word, hash: hash, tokens: first..<output.count) }
    }
}
