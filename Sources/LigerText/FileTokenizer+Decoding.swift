extension FileTokenizer {
    /// The text that `ids` stand for as the library decodes them, special tokens included; an id without a token gives
    /// U+FFFD. Cost: about linear.
    public func decode(_ ids: [Int32]) -> String {
        String(decoding: bytes(ids, isPrefix: false), as: UTF8.self)
    }

    /// The bytes that `ids` stand for, special tokens included as their text; an id without a token gives U+FFFD. Bytes
    /// at the end that begin a character are given as they are. Cost: about linear.
    public func decodeBytes(_ ids: [Int32]) -> [UInt8] { bytes(ids, isPrefix: true) }

    private func bytes(_ ids: [Int32], isPrefix: Bool) -> [UInt8] {
        guard !keepsBytes else {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(ids.count * 4)
            for id in ids { bytes += tokens[Int(id)] ?? replacementCharacterBytes[...] }
            return bytes
        }
        let words = ids.map { Array(tokens[Int($0)] ?? replacementCharacterBytes[...]) }
        guard let decoders else { return Array(words.joined(separator: [UInt8(ascii: " ")])) }
        return Array(decoders.reduce(words) { $1.decoded($0, isPrefix: isPrefix) }.joined())
    }
}
