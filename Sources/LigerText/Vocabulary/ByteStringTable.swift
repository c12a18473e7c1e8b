/// Finds strings among many, by their bytes: a flat hash table with linear probing, half full at most.
struct ByteStringTable: Sendable {
    private var slots: [Int32]
    private let mask: Int
    private let strings: ByteStrings
    /// The first string that equals an earlier one, and that one.
    private(set) var repeated: (later: Int, earlier: Int)?

    private static let empty: Int32 = -1

    /// Cost: linear.
    init(_ strings: ByteStrings) {
        var capacity = 16
        while capacity < strings.count * 2 { capacity *= 2 }
        slots = Array(repeating: Self.empty, count: capacity)
        mask = capacity - 1
        self.strings = strings
        for index in 0..<strings.count {
            let string = strings[index]
            var slot = Self.hash(string) & mask
            while slots[slot] != Self.empty, strings[Int(slots[slot])] != string { slot = (slot + 1) & mask }
            if slots[slot] != Self.empty {
                if repeated == nil { repeated = (index, Int(slots[slot])) }
            } else {
                slots[slot] = Int32(index)
            }
        }
    }

    /// The number of the string with these bytes; `hash` is `WordHash.hash` of them. Cost: the string's length.
    @inline(__always)
    func index(of bytes: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Int? {
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != Self.empty {
            let candidate = strings[Int(slots[slot])]
            if candidate.count == bytes.count, candidate.elementsEqual(bytes) { return Int(slots[slot]) }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// The number of the string with these bytes. Cost: the string's length.
    func index(of bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        index(of: bytes, hash: WordHash.hash(bytes))
    }

    /// The number of the string with these bytes. Cost: the string's length.
    func index(of bytes: some Collection<UInt8>) -> Int? {
        if let found = bytes.withContiguousStorageIfAvailable({ index(of: $0) }) { return found }
        return Array(bytes).withUnsafeBufferPointer { index(of: $0) }
    }

    private static func hash(_ string: ArraySlice<UInt8>) -> Int {
        string.withUnsafeBufferPointer { Int(truncatingIfNeeded: WordHash.hash($0)) }
    }
}
