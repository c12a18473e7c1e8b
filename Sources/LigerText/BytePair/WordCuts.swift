/// Where a text that is one long word can be cut without changing its tokens.
///
/// In vocabularies of SentencePiece a space is the character U+2581, and where the file cuts no words, pairs merge
/// across the whole text. Two characters that stand next to each other in no merge's result stay apart in any text,
/// so that words can be cut between them, met again and remembered.
struct WordCuts: Sendable {
    /// The characters that some token has before a U+2581.
    private let joined: Set<UInt32>

    /// U+2581
    static let mark: [UInt8] = [0xE2, 0x96, 0x81]

    /// Whether some token has a character before a U+2581.
    func joins(_ value: UInt32) -> Bool { joined.contains(value) }

    /// - Parameter results: the bytes of all results of merges.
    init(results: some Sequence<ArraySlice<UInt8>>) {
        var joined: Set<UInt32> = []
        for result in results {
            result.withUnsafeBufferPointer { bytes in
                let text = UTF8Text(bytes: bytes)
                var offset = 0
                var previous: UInt32?
                while offset < bytes.count {
                    let (value, length) = text.scalar(at: offset)
                    if value == 0x2581, let previous { joined.insert(previous) }
                    previous = value
                    offset += length
                }
            }
        }
        self.joined = joined
    }

    /// The first cut after `start`, or `limit`. Cost: linear in what lies between.
    func end(from start: Int, limit: Int, in text: UTF8Text) -> Int {
        var offset = start + 1
        while offset + 2 < limit {
            if text.bytes[offset] == Self.mark[0], text.bytes[offset + 1] == Self.mark[1],
                text.bytes[offset + 2] == Self.mark[2],
                !joined.contains(text.scalar(at: text.start(before: offset)).value)
            {
                return offset
            }
            offset += 1
        }
        return limit
    }
}
