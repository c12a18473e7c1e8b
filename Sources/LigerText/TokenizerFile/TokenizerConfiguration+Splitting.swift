extension TokenizerConfiguration {
    /// Adds the steps of a pre-tokenizer, which may be a sequence.
    ///
    /// ByteLevel writes bytes as characters, so that nothing can cut behind it: it must be the last step.
    mutating func readPretokenizer(_ place: JSONField) throws {
        if place.isNull { return }
        guard !isByteLevel else {
            throw place.replacing(.string(try place.type())).error(
                .unsupported, "a pre-tokenizer behind ByteLevel is not supported")
        }
        let type = try place.type()
        switch type {
        case "Sequence":
            let sequence = try place.object(known: ["type", "pretokenizers"])
            for element in try sequence["pretokenizers"].array() { try readPretokenizer(element) }
        case "ByteLevel":
            let byteLevel = try readByteLevel(place)
            if byteLevel.addsPrefixSpace { preTokenizers.append(.prefixSpace) }
            if byteLevel.splits { preTokenizers.append(.scan(.gpt2)) }
            isByteLevel = true
        case "Split": preTokenizers.append(try Self.split(place))
        case "Digits":
            let individual = try place.object(known: ["type", "individual_digits"])["individual_digits"]
                .bool()
            preTokenizers.append(.splitAt(.digit, individual ? .isolated : .contiguous))
        case "Punctuation":
            let behavior = try place.object(known: ["type", "behavior"])["behavior"]
            preTokenizers.append(
                .splitAt(.punctuation, behavior.isNull ? .isolated : try SplitBehavior(behavior)))
        case "Metaspace": preTokenizers.append(.metaspace(try Metaspace(place)))
        case "Whitespace", "WhitespaceSplit", "BertPreTokenizer":
            _ = try place.object(known: ["type"])
            preTokenizers.append(type == "Whitespace" ? .wordsAndOthers : .splitAt(.space, .removed))
            if type == "BertPreTokenizer" { preTokenizers.append(.splitAt(.punctuation, .isolated)) }
        default:
            throw place.replacing(.string(type)).error(
                .unsupported,
                "supported are ByteLevel, Split, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation, "
                    + "BertPreTokenizer, and Sequences of them")
        }
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

    /// A known expression whose matches are all pieces has a scanner of its own.
    private static func split(_ place: JSONField) throws -> PreTokenizer {
        let split = try place.object(known: ["type", "pattern", "behavior", "invert"])
        let behavior = try SplitBehavior(split["behavior"])
        let isInverted = try split.bool("invert", absent: false)
        if case .object(let fields) = split["pattern"].value, fields.count == 1,
            case .string(let regex)? = fields["Regex"], let known = SplitPattern.known[regex],
            behavior == .isolated || behavior == .removed && isInverted
        {
            return .scan(known)
        }
        return .split(try TextPattern(split["pattern"]), behavior, isInverted: isInverted)
    }
}
