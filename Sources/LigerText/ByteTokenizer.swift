/// One id per UTF-8 byte: a vocabulary of 256 that needs no file and represents every text exactly.
public struct ByteTokenizer: Tokenizer {
    /// Makes the one byte tokenizer there is.
    public init() {}

    /// Always 256.
    public var vocabularySize: Int { 256 }

    /// Bytes have no special tokens.
    public var specialTokens: [String: Int32] { [:] }

    /// Bytes have no opening token.
    public var beginningOfTextID: Int32? { nil }

    /// Bytes have no closing token.
    public var endOfTextID: Int32? { nil }

    /// Nothing.
    public var openingIDs: [Int32] { [] }

    /// Nothing.
    public var closingIDs: [Int32] { [] }

    /// The UTF-8 bytes of `text`. Cost: linear.
    public func encode(_ text: String) -> [Int32] {
        text.utf8.map { Int32($0) }
    }

    /// The bytes themselves, valid UTF-8 or not. Cost: linear.
    public func encode(utf8 bytes: [UInt8]) -> [Int32] {
        bytes.map { Int32($0) }
    }

    /// The bytes that `ids` stand for; an id outside `0 ... 255` gives U+FFFD. Cost: linear.
    public func decodeBytes(_ ids: [Int32]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count)
        for id in ids {
            if let byte = UInt8(exactly: id) {
                bytes.append(byte)
            } else {
                bytes.append(contentsOf: replacementCharacterBytes)
            }
        }
        return bytes
    }
}
