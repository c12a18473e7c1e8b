extension TokenizerConfiguration {
    /// Adds the steps of a normalizer, which may be a sequence.
    mutating func readNormalizer(_ place: JSONField) throws {
        if place.isNull { return }
        let type = try place.type()
        switch type {
        case "Sequence":
            let sequence = try place.object(known: ["type", "normalizers"])
            for element in try sequence["normalizers"].array() { try readNormalizer(element) }
        case "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents":
            _ = try place.object(known: ["type"])
            if let form = NormalizationForm(rawValue: type) { normalizers.append(.form(form)) }
            if type == "Lowercase" { normalizers.append(.lowercase) }
            if type == "StripAccents" { normalizers.append(.stripAccents) }
        case "Replace":
            let (pattern, content) = try Self.replacement(place)
            normalizers.append(.replace(pattern, with: content))
        case "Prepend":
            let prefix = try place.object(known: ["type", "prepend"])["prepend"].string()
            normalizers.append(.prepend(Array(prefix.utf8)))
        case "Strip":
            let strip = try place.object(known: ["type", "strip_left", "strip_right"])
            normalizers.append(
                .strip(left: try strip["strip_left"].bool(), right: try strip["strip_right"].bool()))
        case "Precompiled":
            let map = try place.object(known: ["type", "precompiled_charsmap"])["precompiled_charsmap"]
            if !map.isNull { normalizers.append(.charactersMap(try CharactersMap(map))) }
        case "BertNormalizer": try readBert(place)
        default:
            throw place.replacing(.string(type)).error(
                .unsupported,
                "normalizers of type \(type) are not supported; those that are: NFC, NFD, NFKC, NFKD, Lowercase, "
                    + "Replace, Prepend, Strip, StripAccents, Precompiled, BertNormalizer, Sequence")
        }
    }

    /// What a Replace puts where: also decoders have it.
    static func replacement(_ place: JSONField) throws -> (TextPattern, [UInt8]) {
        let replace = try place.object(known: ["type", "pattern", "content"])
        return (try TextPattern(replace["pattern"]), Array(try replace["content"].string().utf8))
    }

    private mutating func readBert(_ place: JSONField) throws {
        let bert = try place.object(known: [
            "type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase",
        ])
        let lowercases = try bert["lowercase"].bool()
        if try bert["clean_text"].bool() { normalizers.append(.cleanText) }
        if try bert["handle_chinese_chars"].bool() { normalizers.append(.spaceHan) }
        if try bert["strip_accents"].isNull ? lowercases : bert["strip_accents"].bool() {
            normalizers += [.form(.nfd), .stripNonspacing]
        }
        if lowercases { normalizers.append(.lowercase) }
    }
}
