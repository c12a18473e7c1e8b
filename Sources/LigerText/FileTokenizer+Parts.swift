extension FileTokenizer {
    /// The words that the pre-tokenizers cut a text into; added tokens in it are left out.
    package func words(of text: String) -> [String] {
        var text = text
        return text.withUTF8 { bytes in
            let prepared = cut(UTF8Text(bytes: bytes), by: preTokenizers[...])
            return prepared.pieces.compactMap { piece in
                guard case .text(let range) = piece, !range.isEmpty else { return nil }
                return String(decoding: prepared.bytes[range], as: UTF8.self)
            }
        }
    }

    /// A text as the normalizers give it.
    package func normalized(_ text: String) -> String { normalizers.normalized(text) }
}
