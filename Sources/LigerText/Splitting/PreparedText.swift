/// A text as words are cut from it: normalised, and cut at the added tokens and by pre-tokenizers.
struct PreparedText {
    var bytes: [UInt8] = []
    var pieces: [AddedTokenMatcher.Piece] = []
    /// Whether the first piece is text that the original text begins with.
    var beginsWithText = false
}
