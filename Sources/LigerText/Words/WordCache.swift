/// Remembers where in this text a word was met before and where its tokens stand in the output.
///
/// Direct mapped: a word takes the place of another with the same slot, which bounds the memory. Neither words nor
/// tokens are copied. Belongs to one `encode` call, so that a tokenizer stays immutable and free of locks.
struct WordCache {
    private struct Slot {
        var hash: UInt64 = 0
        var start = 0
        var length = 0
        var firstToken = 0
        var tokenCount = 0
    }

    /// Longer words rarely come back.
    static let longestWord = 64
    private static let mostSlots = 1 << 15
    private var slots: [Slot]
    private let mask: Int

    init(textLength: Int) {
        var capacity = 16
        while capacity < min(textLength / 8, Self.mostSlots) { capacity *= 2 }
        slots = Array(repeating: Slot(), count: capacity)
        mask = capacity - 1
    }

    /// The tokens of an equal earlier word, as a range of the output. Cost: the word's length.
    @inline(__always)
    func tokens(of word: Range<Int>, hash: UInt64, in text: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
        let slot = slots[Int(truncatingIfNeeded: hash) & mask]
        guard slot.hash == hash, slot.length == word.count else { return nil }
        for index in 0..<slot.length where text[slot.start + index] != text[word.lowerBound + index] {
            return nil
        }
        return slot.firstToken..<slot.firstToken + slot.tokenCount
    }

    /// Remembers that the tokens of `word` stand at `tokens` in the output.
    @inline(__always)
    mutating func insert(_ word: Range<Int>, hash: UInt64, tokens: Range<Int>) {
        slots[Int(truncatingIfNeeded: hash) & mask] = Slot(
            hash: hash, start: word.lowerBound, length: word.count, firstToken: tokens.lowerBound,
            tokenCount: tokens.count)
    }

    /// A hash of a word's bytes (FNV's step, then mixed so that the low bits depend on all).
    @inline(__always)
    static func hash(_ word: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in word { hash = (hash ^ UInt64(text[index])) &* 0x0000_0100_0000_01B3 }
        return hash ^ (hash >> 29)
    }
}
