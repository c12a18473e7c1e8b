/// SentencePiece's treatment of spaces: they become a visible character, one is put before the text, and words begin
/// with it.
struct Metaspace: Equatable, Sendable {
    /// Where the character is put before a text that does not begin with it.
    enum Prepending: String, CaseIterable, Sendable {
        case always, first, never
    }

    /// The character in UTF-8, mostly U+2581.
    let replacement: [UInt8]
    let prepending: Prepending
    let splits: Bool

    /// - Throws: `TokenizerError` for options that cannot be honoured.
    init(_ place: JSONField) throws {
        let metaspace = try place.object(known: [
            "type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep",
        ])
        let replacement = try metaspace["replacement"].string()
        guard replacement.unicodeScalars.count == 1 else {
            throw metaspace["replacement"].error(.malformed, "one character is expected")
        }
        if !metaspace["str_rep"].isNull,
            try metaspace["str_rep"].string().utf8.elementsEqual(replacement.utf8) == false
        {
            throw metaspace["str_rep"].error(.inconsistent, "the replacement is expected, or nothing")
        }
        self.replacement = Array(replacement.utf8)
        splits = try metaspace.bool("split", absent: true)
        let scheme = metaspace["prepend_scheme"]
        var prepending = Prepending.always
        if !scheme.isNull {
            guard let known = Prepending(rawValue: try scheme.string()) else {
                throw scheme.error(.unsupported, "supported are always, first, never")
            }
            prepending = known
        }
        // Older files have this instead; beside a scheme it must agree, as it must to the library.
        if !metaspace["add_prefix_space"].isNull, try !metaspace["add_prefix_space"].bool() {
            guard scheme.isNull || prepending == .never else {
                throw metaspace["add_prefix_space"].error(
                    .inconsistent, "it contradicts the prepend_scheme: leave it out")
            }
            prepending = .never
        }
        self.prepending = prepending
    }

    /// Appends a text with its spaces replaced.
    func append(_ text: UTF8Text, isFirst: Bool, to output: inout [UInt8]) {
        let start = output.count
        let first = text.bytes.first == UInt8(ascii: " ") || text.bytes.starts(with: replacement)
        if !first, prepending == .always || prepending == .first && isFirst { output += replacement }
        output.reserveCapacity(start + text.count)
        for byte in text.bytes {
            if byte == UInt8(ascii: " ") { output += replacement } else { output.append(byte) }
        }
    }
}
