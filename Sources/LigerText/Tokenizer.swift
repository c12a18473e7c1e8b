/// Turns text into token ids and back.
///
/// Ids are `Int32` because that is what embedding and cross-entropy kernels read. Every id that `encode` returns
/// lies in `0 ..< vocabularySize`.
public protocol Tokenizer: Sendable {
    /// One more than the largest id, which is the number of rows an embedding needs.
    var vocabularySize: Int { get }

    /// One more than the largest id that is not an added token's: text without added tokens has no id beyond.
    var ordinaryVocabularySize: Int { get }

    /// The special tokens by their text, as they would stand in the text itself.
    var specialTokens: [String: Int32] { get }

    /// The id that opens a text, if the tokenizer has one.
    var beginningOfTextID: Int32? { get }

    /// The id that closes a text or document, if the tokenizer has one.
    var endOfTextID: Int32? { get }

    /// What stands before the ids of a whole text, such as the id that opens one, where the tokenizer asks for it.
    var openingIDs: [Int32] { get }

    /// What stands behind the ids of a whole text, where the tokenizer asks for it.
    var closingIDs: [Int32] { get }

    /// The ids of `text`, without opening or closing tokens. Special tokens that stand in the text are recognised.
    func encode(_ text: String) -> [Int32]

    /// The ids of UTF-8 bytes, as for a file read whole.
    func encode(utf8 bytes: [UInt8]) -> [Int32]

    /// The bytes that `ids` stand for. A prefix of a text's ids may end inside a character.
    ///
    /// An id that names no token (a model's vocabulary is often padded) gives the replacement character U+FFFD.
    func decodeBytes(_ ids: [Int32]) -> [UInt8]

    /// The text that `ids` stand for; bytes that are not UTF-8 become U+FFFD.
    func decode(_ ids: [Int32]) -> String
}

extension Tokenizer {
    /// That of a tokenizer without added tokens.
    public var ordinaryVocabularySize: Int { vocabularySize }

    /// The ids of `text` between those that open and close it.
    public func encodeWithSpecialTokens(_ text: String) -> [Int32] { openingIDs + encode(text) + closingIDs }

    /// The ids of a document to train on: as the tokenizer opens and closes it, and at its end the id that closes a text,
    /// if there is one.
    public func encodeDocument(_ text: String) -> [Int32] { openingIDs + encode(text) + documentEnd }

    /// What ends a document or an answer to train on.
    public var documentEnd: [Int32] {
        guard let endOfTextID, closingIDs.last != endOfTextID else { return closingIDs }
        return closingIDs + [endOfTextID]
    }

    /// The text that `ids` stand for; bytes that are not UTF-8 become U+FFFD.
    public func decode(_ ids: [Int32]) -> String {
        String(decoding: decodeBytes(ids), as: UTF8.self)
    }
}

/// U+FFFD in UTF-8, for ids that name no token.
let replacementCharacterBytes: [UInt8] = [0xEF, 0xBF, 0xBD]
