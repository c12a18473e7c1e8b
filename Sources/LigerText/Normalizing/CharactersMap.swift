import Platform

/// A map of characters that SentencePiece made beforehand (`precompiled_charsmap`): a double-array trie, whose values
/// are places in a text of replacements that end with a zero byte.
struct CharactersMap: Sendable {
    private let units: [UInt32]
    private let replacements: [UInt8]
    /// Whether a replacement begins with this byte: most texts have few that do.
    private let begins: [Bool]

    /// Longer clusters of characters are looked up character by character, as the library does.
    private static let longestCluster = 5

    /// Reads the base64 text of a file.
    ///
    /// - Throws: `TokenizerError` of kind `malformed`.
    init(_ place: JSONField) throws {
        guard let data = Data(base64Encoded: try place.string()) else {
            throw place.error(.malformed, "text in base64 is expected")
        }
        let bytes = [UInt8](data)
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
        }
        guard bytes.count >= 4, case let size = Int(word(0)), size >= 4, size % 4 == 0,
            size <= bytes.count - 4
        else {
            throw place.replacing(.string("\(bytes.count) bytes")).error(
                .malformed, "the size of a trie and then a trie of that size are expected")
        }
        let units = (0..<size / 4).map { word(4 + 4 * $0) }
        self.units = units
        replacements = Array(bytes[(4 + size)...])
        guard String(validating: replacements, as: UTF8.self) != nil else {
            throw place.replacing(.string("bytes that are not UTF-8")).error(
                .malformed, "replacements in UTF-8 are expected")
        }
        let root = Self.offset(units[0])
        begins = (0..<256).map { byte in
            units.indices.contains(root ^ byte) && Self.label(units[root ^ byte]) == byte
        }
    }

    /// `text` with each character, or short cluster of them, replaced. Cost: linear.
    func normalized(_ text: UTF8Text) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        guard text.bytes.contains(where: { begins[Int($0)] }) else { return Array(text.bytes) }
        for character in String(decoding: text.bytes, as: UTF8.self) {
            let cluster = Array(character.utf8)
            if cluster.count <= Self.longestCluster, let replacement = replacement(of: cluster[...]) {
                output += replacement
                continue
            }
            for scalar in character.unicodeScalars {
                let bytes = Array(String(scalar).utf8)
                output += replacement(of: bytes[...]) ?? bytes[...]
            }
        }
        return output
    }

    /// The replacement of the shortest beginning of `key` that has one.
    private func replacement(of key: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var node = Self.offset(units[0])
        for byte in key {
            guard byte != 0 else { return nil }
            node ^= Int(byte)
            guard units.indices.contains(node), Self.label(units[node]) == Int(byte) else { return nil }
            let unit = units[node]
            node ^= Self.offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard units.indices.contains(node) else { return nil }
            let start = Int(units[node] & 0x7FFF_FFFF)
            guard start < replacements.count, replacements[start] & 0xC0 != 0x80 else { return nil }
            return replacements[start...].prefix { $0 != 0 }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }

    private static func label(_ unit: UInt32) -> Int { Int(unit & (1 << 31 | 0xFF)) }
}
