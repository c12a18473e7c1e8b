/// Remembers the tokens of words that were met before: a cache line for each word.
///
/// Direct mapped: a word takes the place of another with the same slot, which bounds the memory. Words of more than 31
/// bytes or 7 tokens are not kept, as they rarely come back. Belongs to one text at a time: see `WordMemories`.
final class WordMemory: @unchecked Sendable {
    /// The bytes of a word, filled up with zeros, and in the last byte how many there are.
    typealias Key = SIMD4<UInt64>

    private struct Slot {
        var key = Key.zero
        /// Tokens, and in the last place how many there are.
        var tokens = SIMD8<Int32>.zero
    }

    /// The bytes of the longest word that is kept.
    static let longestWord = 31
    private static let mostTokens = 7
    private static let mostSlots = 1 << 17

    // Unsafe is right here: no bounds to check in the innermost loop. Both are freed with the object.
    private let slots: UnsafeMutablePointer<Slot>
    private let masks: UnsafeMutablePointer<Key>
    private let shift: UInt64

    init() {
        shift = UInt64(64 - Self.mostSlots.trailingZeroBitCount)
        slots = .allocate(capacity: Self.mostSlots)
        slots.initialize(repeating: Slot(), count: Self.mostSlots)
        masks = .allocate(capacity: Self.longestWord + 1)
        for length in 0...Self.longestWord {
            let bytes = SIMD32<UInt8>((0..<32).map { $0 < length ? 0xFF : 0 })
            (masks + length).initialize(to: unsafeBitCast(bytes, to: Key.self))
        }
    }

    deinit {
        slots.deallocate()
        masks.deallocate()
    }

    /// What a word is found by; it has 31 bytes at most.
    @inline(__always)
    func key(of word: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> Key {
        var key = Key.zero
        if let start = text.baseAddress, word.lowerBound + 32 <= text.count {
            let bytes = UnsafeRawPointer(start + word.lowerBound).loadUnaligned(as: Key.self)
            key = bytes & masks[word.count]
        } else {
            for (offset, index) in word.enumerated() {
                key[offset / 8] |= UInt64(text[index]) << UInt64(8 * (offset % 8))
            }
        }
        key[3] |= UInt64(word.count) << 56
        return key
    }

    /// Appends the tokens of a word that is remembered.
    @inline(__always)
    func append(_ key: Key, to output: inout [Int32]) -> Bool {
        let slot = slots + place(of: key)
        guard slot.pointee.key == key else { return false }
        let tokens = slot.pointee.tokens
        for index in 0..<Int(tokens[Self.mostTokens]) { output.append(tokens[index]) }
        return true
    }

    /// Remembers the tokens of a word.
    @inline(__always)
    func insert(_ key: Key, tokens: ArraySlice<Int32>) {
        guard tokens.count <= Self.mostTokens else { return }
        var slot = Slot(key: key)
        for (place, token) in tokens.enumerated() { slot.tokens[place] = token }
        slot.tokens[Self.mostTokens] = Int32(tokens.count)
        slots[place(of: key)] = slot
    }

    @inline(__always)
    private func place(of key: Key) -> Int {
        let mixed =
            (key[0] &* 0x9E37_79B9_7F4A_7C15) ^ (key[1] &* 0xC2B2_AE3D_27D4_EB4F)
            ^ (key[2] &* 0x1656_67B1_9E37_79F9) ^ (key[3] &* 0x27D4_EB2F_1656_67C5)
        return Int(truncatingIfNeeded: ((mixed ^ mixed >> 29) &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }
}
