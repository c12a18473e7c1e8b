extension TokenizerConfiguration {
    static func addedTokens(_ place: JSONField) throws -> [AddedToken] {
        if place.isNull { return [] }
        return try place.array().map { place in
            let token = try place.object(known: [
                "id", "content", "single_word", "lstrip", "rstrip", "normalized", "special",
            ])
            let content = try token["content"].string()
            guard !content.isEmpty else {
                throw token["content"].error(.malformed, "an added token needs at least one character")
            }
            return AddedToken(
                id: try token["id"].id(),
                content: content,
                singleWord: try token["single_word"].bool(),
                stripsLeft: try token["lstrip"].bool(),
                stripsRight: try token["rstrip"].bool(),
                normalized: try token["normalized"].bool(),
                special: try token["special"].bool())
        }
    }

    /// ByteLevel (concerns positions only), TemplateProcessing, or a Sequence with at most one template.
    mutating func readPostprocessor(_ place: JSONField) throws {
        if place.isNull { return }
        switch try place.type() {
        case "ByteLevel":
            _ = try readByteLevel(place)
        case "TemplateProcessing":
            guard opening.isEmpty, closing.isEmpty else {
                throw place.error(.unsupported, "one TemplateProcessing is supported")
            }
            try readTemplate(place)
        case "Sequence":
            let sequence = try place.object(known: ["type", "processors"])
            for element in try sequence["processors"].array() { try readPostprocessor(element) }
        default:
            throw place.replacing(.string(try place.type())).error(
                .unsupported, "ByteLevel, TemplateProcessing and Sequences of them are supported")
        }
    }

    /// Only the template for one text: pairs of texts are not encoded here.
    private mutating func readTemplate(_ place: JSONField) throws {
        let template = try place.object(known: ["type", "single", "pair", "special_tokens"])
        let ids = try Self.templateTokens(template["special_tokens"])
        var sequences = 0
        for piece in try template["single"].array() {
            let kinds = try piece.object(known: ["SpecialToken", "Sequence"])
            if kinds["Sequence"].isNull {
                let token = try kinds["SpecialToken"].object(known: ["id", "type_id"])
                guard let tokenIDs = ids[try token["id"].string()] else {
                    throw token["id"].error(.inconsistent, "the template's special_tokens have no such token")
                }
                if sequences == 0 { opening += tokenIDs } else { closing += tokenIDs }
            } else {
                let sequence = try kinds["Sequence"].object(known: ["id", "type_id"])
                guard try sequence["id"].string() == "A", kinds["SpecialToken"].isNull else {
                    throw piece.error(.unsupported, "a piece is a SpecialToken or the Sequence A")
                }
                sequences += 1
            }
        }
        guard sequences == 1 else {
            throw template["single"].error(.unsupported, "exactly one Sequence is supported")
        }
    }

    private static func templateTokens(_ place: JSONField) throws -> [String: [Int32]] {
        guard case .object(let tokens) = place.value else {
            throw place.error(.malformed, "an object is expected")
        }
        let object = JSONObject(place: place, fields: tokens.dictionary)
        var ids: [String: [Int32]] = [:]
        for name in tokens.keys {
            let token = try object[name].object(known: ["id", "ids", "tokens"])
            ids[name] = try token["ids"].array().map { try $0.id() }
        }
        return ids
    }
}
