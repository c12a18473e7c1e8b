/// A splitting pattern of a known model family, as the choices in which the families differ.
///
/// Each pattern is an ordered list of alternatives: contractions, words, numbers, punctuation, white space.
struct SplitPattern: Equatable, Sendable {
    /// What may stand before the letters of a word and belong to it.
    enum WordPrefix: Sendable {
        /// ` ?\p{L}+`
        case space
        /// `[^\r\n\p{L}\p{N}]?\p{L}+`
        case anythingButNewlineOrNumber
    }

    /// `(?i:...)` around the contractions.
    var contractionsIgnoreCase: Bool
    var wordPrefix: WordPrefix
    /// The most characters of a number: `\p{N}{1,3}`; nil stands for ` ?\p{N}+`.
    var longestNumber: Int?
    /// `[\r\n]*` after punctuation, and `\s*[\r\n]+` before the other white space.
    var newlinesEndPieces: Bool

    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    static let gpt2 = SplitPattern(
        contractionsIgnoreCase: false, wordPrefix: .space, longestNumber: nil, newlinesEndPieces: false)
    /// GPT-2's with contractions in any case, numbers of up to three digits, and newlines kept together.
    static let llama3 = SplitPattern(
        contractionsIgnoreCase: true, wordPrefix: .anythingButNewlineOrNumber, longestNumber: 3,
        newlinesEndPieces: true)
    /// Llama 3's with one digit a piece.
    static let qwen2 = SplitPattern(
        contractionsIgnoreCase: true, wordPrefix: .anythingButNewlineOrNumber, longestNumber: 1,
        newlinesEndPieces: true)

    private static let newlineTail = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let newlineHead = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"#

    /// The regular expressions, as they stand in the files, and what they mean.
    static let known: [String: SplitPattern] = [
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: .gpt2,
        newlineHead + #"|\p{N}{1,3}"# + newlineTail: .llama3,
        newlineHead + #"|\p{N}"# + newlineTail: .qwen2,
    ]
}
