package import LigerText

/// Text that grows by tokens, which may end inside a character.
///
/// What a token adds is the difference that it makes to the text of the tokens before it. The last few are enough for that,
/// unless these decode otherwise without those before them, as the bytes of an unfinished character do. Cost: a bounded number
/// of tokens is decoded for each.
package struct StreamedText {
    package private(set) var tokens: [Int32] = []
    /// What was handed out so far.
    package private(set) var shown = ""
    private let tokenizer: any Tokenizer
    /// The last tokens.
    private var window: [Int32] = []
    /// What was handed out of their text.
    private var handedOut: [UInt8] = []
    /// How many tokens are decoded before fewer are tried.
    private var limit = longestWindow

    private static let longestWindow = 32
    private static let shortestWindow = 8

    package init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

    /// The characters that this token completes.
    package mutating func add(_ token: Int32) -> String {
        tokens.append(token)
        window.append(token)
        return show(holdingBack: true)
    }

    /// What was held back.
    package mutating func finish() -> String { show(holdingBack: false) }

    private mutating func show(holdingBack: Bool) -> String {
        let bytes = tokenizer.decodeBytes(window)
        defer { if window.count >= limit { shorten(bytes) } }
        // A run of byte tokens that is no text yet decodes to replacements, also of characters that were shown.
        guard bytes.count > handedOut.count, bytes.starts(with: handedOut) else { return "" }
        let new = bytes[handedOut.count...]
        let piece = holdingBack ? new.dropLast(TextBytes.unfinished(new)) : new
        handedOut += piece
        let text = String(decoding: piece, as: UTF8.self)
        shown += text
        return text
    }

    /// Leaves the last tokens, if their text for itself is the end of the text.
    private mutating func shorten(_ bytes: [UInt8]) {
        let rest = Array(window.suffix(Self.shortestWindow))
        let text = tokenizer.decodeBytes(rest)
        guard handedOut == bytes, !text.isEmpty, bytes.suffix(text.count).elementsEqual(text) else {
            limit = window.count + Self.longestWindow
            return
        }
        (window, handedOut, limit) = (rest, text, Self.longestWindow)
    }
}
