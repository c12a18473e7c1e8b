extension TokenizerConfiguration {
    /// A ByteLevel pre-tokenizer alone, or a Split followed by one that does not split again.
    mutating func readPretokenizer(_ place: JSONField) throws {
        let advice = """
            supported are ByteLevel, and a Sequence of Split (a known pattern, Isolated) and ByteLevel \
            with use_regex false
            """
        if place.isNull { throw place.error(.unsupported, advice) }
        switch try place.type() {
        case "ByteLevel":
            try readLastByteLevel(place)
        case "Sequence":
            let sequence = try place.object(known: ["type", "pretokenizers"])
            let elements = try sequence["pretokenizers"].array()
            if elements.count == 1, try elements[0].type() == "ByteLevel" {
                try readLastByteLevel(elements[0])
                return
            }
            guard elements.count == 2, try elements[0].type() == "Split",
                try elements[1].type() == "ByteLevel"
            else {
                let types = try elements.map { try $0.type() }
                throw place.replacing(.string("Sequence of \(types.joined(separator: ", "))"))
                    .error(.unsupported, advice)
            }
            pattern = try Self.splitPattern(elements[0])
            let byteLevel = try readByteLevel(elements[1])
            guard !byteLevel.splits, !byteLevel.addsPrefixSpace else {
                throw elements[1].error(
                    .unsupported, "after a Split, use_regex and add_prefix_space must be false")
            }
        default:
            throw place.replacing(.string(try place.type())).error(.unsupported, advice)
        }
    }

    private mutating func readLastByteLevel(_ place: JSONField) throws {
        let byteLevel = try readByteLevel(place)
        pattern = byteLevel.splits ? .gpt2 : nil
        addsPrefixSpace = byteLevel.addsPrefixSpace
    }

    /// The options of ByteLevel; `trim_offsets` concerns positions in the text, which are not given out here.
    func readByteLevel(_ place: JSONField) throws -> (splits: Bool, addsPrefixSpace: Bool) {
        let byteLevel = try place.object(known: ["type", "add_prefix_space", "trim_offsets", "use_regex"])
        _ = try byteLevel.bool("trim_offsets", absent: true)
        return (
            splits: try byteLevel.bool("use_regex", absent: true),
            addsPrefixSpace: try byteLevel.bool("add_prefix_space", absent: true)
        )
    }

    private static func splitPattern(_ place: JSONField) throws -> SplitPattern {
        let split = try place.object(known: ["type", "pattern", "behavior", "invert"])
        guard try split["behavior"].string() == "Isolated" else {
            throw split["behavior"].error(.unsupported, "\"Isolated\" is supported")
        }
        guard try !split.bool("invert", absent: false) else {
            throw split["invert"].error(.unsupported, "false is supported")
        }
        let regex = try split["pattern"].object(known: ["Regex"])["Regex"]
        guard let pattern = SplitPattern.known[try regex.string()] else {
            throw regex.error(.unsupported, "supported are the exact patterns of GPT-2, Llama 3 and Qwen 2")
        }
        return pattern
    }
}
