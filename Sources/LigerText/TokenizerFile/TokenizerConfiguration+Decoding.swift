extension TokenizerConfiguration {
    /// The steps of a decoder, which may be a sequence; nil where the file has none.
    static func decoders(_ place: JSONField) throws -> [TokenDecoder]? {
        if place.isNull { return nil }
        let type = try place.type()
        switch type {
        case "Sequence":
            let sequence = try place.object(known: ["type", "decoders"])
            return try sequence["decoders"].array().flatMap { element in
                guard let steps = try decoders(element) else {
                    throw element.error(.malformed, "a decoder is expected")
                }
                return steps
            }
        case "ByteLevel":
            _ = try TokenizerConfiguration().readByteLevel(place)
            return [.byteLevel]
        case "ByteFallback", "Fuse":
            _ = try place.object(known: ["type"])
            return [type == "Fuse" ? .fuse : .byteFallback]
        case "Replace":
            let (pattern, content) = try replacement(place)
            return [.replace(pattern, with: content)]
        case "Strip": return [try strip(place)]
        case "Metaspace":
            let metaspace = try Metaspace(place)
            return [
                .metaspace(
                    replacement: metaspace.replacement, leavesOutFirst: metaspace.prepending != .never)
            ]
        case "WordPiece":
            let wordPiece = try place.object(known: ["type", "prefix", "cleanup"])
            return [
                .wordPiece(
                    prefix: Array(try wordPiece["prefix"].string().utf8),
                    cleansUp: try wordPiece["cleanup"].bool())
            ]
        default:
            throw place.replacing(.string(type)).error(
                .unsupported,
                "supported are ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, WordPiece, and Sequences of "
                    + "them")
        }
    }

    private static func strip(_ place: JSONField) throws -> TokenDecoder {
        let strip = try place.object(known: ["type", "content", "start", "stop"])
        let content = try strip["content"].string()
        guard content.unicodeScalars.count == 1 else {
            throw strip["content"].error(.malformed, "one character is expected")
        }
        func count(_ name: String) throws -> Int {
            guard case .integer(let value) = strip[name].value, (0...1000).contains(value) else {
                throw strip[name].error(.unsupported, "a number from 0 to 1000 is supported")
            }
            return value
        }
        return .strip(Array(content.utf8), start: try count("start"), end: try count("stop"))
    }
}
