internal import Platform

/// All that tokens follow from: what the cache finds them by.
///
/// Data is known by its bytes, not by name or date: these lie after a copy, a checkout or a repair, and reading costs a
/// fraction of tokenising.
struct CacheKey: Codable, Equatable, Sendable {
    /// One file's bytes.
    struct Part: Codable, Equatable, Sendable {
        let bytes: Int
        let checksum: String
    }

    /// Rises when files have another layout, or a tokenizer is made to give other ids.
    var format = 1
    /// What the numbers are: a text's tokens, or examples of a form.
    let kind: String
    /// In the order in which they are read.
    let data: [Part]
    /// Of the tokenizer's file, with what opens and ends texts.
    let tokenizer: String
    /// What else decides tokens, such as the chat template.
    let settings: [String: String]

    /// The name of the entry: 16 hexadecimal digits.
    var name: String { Checksum.digits(of: Array(text.utf8)) }

    /// The same for equal keys.
    var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let data = try? encoder.encode(self) else { preconditionFailure("a key is plain JSON") }
        return String(decoding: data, as: UTF8.self)
    }
}
