/// Finds the best segmentation of one word: Viterbi's algorithm in Double, with the sums in the order of the library,
/// and of equal ones the first that is met.
struct UnigramSearch: WordEngine {
    private let model: UnigramModel
    private var scores: [Double] = []
    /// Where the best last token of each prefix begins; -1 where there is none.
    private var starts: [Int] = []
    private var tokens: [Int32] = []
    private var found: [Range<Int>] = []

    init(_ model: UnigramModel) { self.model = model }

    mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) {
        search(word)
        findSegments(end: word.count)
        for segment in found.reversed() { append(word[segment], to: &output) }
    }

    private mutating func search(_ word: UnsafeBufferPointer<UInt8>) {
        let text = UTF8Text(bytes: word)
        reset(word.count + 1)
        var start = 0
        while start < word.count {
            let length = text.scalar(at: start).length
            var hasCharacter = false
            var node = TokenTrie.root
            for offset in start..<word.count {
                node = model.trie.child(of: node, word[offset])
                guard node != TokenTrie.none else { break }
                let token = model.trie.tokenOfNode[Int(node)]
                guard token >= 0 else { continue }
                hasCharacter = hasCharacter || offset + 1 - start == length
                offer(token, score: model.scores[Int(token)], from: start, to: offset + 1)
            }
            if !hasCharacter {
                offer(model.unknown, score: model.unknownScore, from: start, to: start + length)
            }
            start += length
        }
    }

    private mutating func reset(_ count: Int) {
        scores.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        tokens.removeAll(keepingCapacity: true)
        scores.append(contentsOf: repeatElement(0, count: count))
        starts.append(contentsOf: repeatElement(-1, count: count))
        tokens.append(contentsOf: repeatElement(-1, count: count))
    }

    @inline(__always)
    private mutating func offer(_ token: Int32, score: Double, from start: Int, to end: Int) {
        let sum = score + scores[start]
        guard starts[end] < 0 || sum > scores[end] else { return }
        scores[end] = sum
        starts[end] = start
        tokens[end] = token
    }

    /// The segments of the best path, last first. Unknown ones that follow each other are one.
    private mutating func findSegments(end: Int) {
        found.removeAll(keepingCapacity: true)
        var end = end
        var unknownEnd: Int?
        while end > 0 {
            let start = starts[end]
            if tokens[end] == model.unknown {
                if unknownEnd == nil { unknownEnd = end }
            } else {
                if let unknownEnd { found.append(end..<unknownEnd) }
                unknownEnd = nil
                found.append(start..<end)
            }
            end = start
        }
        if let unknownEnd { found.append(0..<unknownEnd) }
    }

    /// A segment is looked up again, as joined unknown ones may be a token; else its bytes are, or it is unknown.
    private func append(_ segment: Slice<UnsafeBufferPointer<UInt8>>, to output: inout [Int32]) {
        let bytes = UnsafeBufferPointer(rebasing: segment)
        if let token = model.vocabulary.id(of: bytes, hash: WordHash.hash(bytes)) {
            output.append(token)
        } else if !model.bytes.isEmpty, bytes.allSatisfy({ model.bytes[Int($0)] != nil }) {
            for byte in bytes { if let token = model.bytes[Int(byte)] { output.append(token) } }
        } else {
            output.append(model.unknown)
        }
    }
}
