import Foundation
import LigerText
import TestSupport
import Testing

/// What a file asks for is honoured, or refused with the field, what was found, and what to do.
@Suite struct TokenizerFileTests {
    /// A change of one field, and what the error must name.
    struct Refusal: Sendable, CustomTestStringConvertible {
        var path: [String]
        /// The new value as JSON.
        var value: String
        var kind: TokenizerError.Kind
        var field: String
        var says: String
        var testDescription: String { "\(path.joined(separator: ".")) = \(value)" }
    }

    static let refusals: [Refusal] = [
        Refusal(path: ["version"], value: #""2.0""#, kind: .unsupported, field: "version", says: "2.0"),
        Refusal(path: ["surprise"], value: "1", kind: .unsupported, field: "surprise", says: "known fields"),
        Refusal(
            path: ["normalizer"], value: #"{"type": "Nmt"}"#, kind: .unsupported, field: "normalizer",
            says: "normalizers of type Nmt are not supported"),
        Refusal(
            path: ["normalizer"], value: #"{"type": "Precompiled", "precompiled_charsmap": "AAAA!"}"#,
            kind: .malformed, field: "normalizer.precompiled_charsmap", says: "base64"),
        Refusal(
            path: ["normalizer"], value: #"{"type": "Precompiled", "precompiled_charsmap": "/////w=="}"#,
            kind: .malformed, field: "normalizer.precompiled_charsmap", says: "size of a trie"),
        Refusal(
            path: ["normalizer"], value: #"{"type": "NFC", "x": 1}"#, kind: .unsupported,
            field: "normalizer.x", says: "known fields"),
        Refusal(
            path: ["pre_tokenizer"], value: #"{"type": "UnicodeScripts"}"#, kind: .unsupported,
            field: "pre_tokenizer", says: "UnicodeScripts"),
        Refusal(
            path: ["pre_tokenizer"], value: #"{"type": "Metaspace", "replacement": "__", "split": true}"#,
            kind: .malformed, field: "pre_tokenizer.replacement", says: "one character"),
        Refusal(
            path: ["pre_tokenizer"],
            value: #"{"type": "Metaspace", "replacement": "_", "prepend_scheme": "sometimes"}"#,
            kind: .unsupported, field: "pre_tokenizer.prepend_scheme", says: "sometimes"),
        Refusal(
            path: ["pre_tokenizer"],
            value: #"{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Whitespace"}]}"#,
            kind: .unsupported, field: "pre_tokenizer.pretokenizers[1]", says: "behind ByteLevel"),
        Refusal(
            path: ["pre_tokenizer", "add_prefix_space"], value: "1", kind: .malformed,
            field: "pre_tokenizer.add_prefix_space", says: "true or false"),
        Refusal(
            path: ["pre_tokenizer"], value: split(#"{"Regex": "(?<=a)\\w+|x"}"#), kind: .unsupported,
            field: "pre_tokenizer.pretokenizers[0].pattern.Regex", says: #"(?<=a)\w+|x"#),
        Refusal(
            path: ["pre_tokenizer"], value: split(#"{"Text": " "}"#), kind: .unsupported,
            field: "pre_tokenizer.pretokenizers[0].pattern.Text", says: "Regex"),
        Refusal(
            path: ["pre_tokenizer"], value: split("{}", behavior: "Kept"), kind: .unsupported,
            field: "pre_tokenizer.pretokenizers[0].behavior", says: "Kept"),
        Refusal(
            path: ["decoder"], value: #"{"type": "CTC"}"#, kind: .unsupported, field: "decoder", says: "CTC"),
        Refusal(
            path: ["decoder"], value: #"{"type": "Strip", "content": " ", "start": -1, "stop": 0}"#,
            kind: .unsupported, field: "decoder.start", says: "-1"),
        Refusal(
            path: ["post_processor"], value: #"{"type": "Foo"}"#, kind: .unsupported,
            field: "post_processor", says: "Foo"),
        Refusal(
            path: ["post_processor"],
            value: #"{"type": "BertProcessing", "sep": ["<pad>", 264], "cls": ["<none>", 266]}"#,
            kind: .inconsistent, field: "post_processor", says: "266"),
        Refusal(
            path: ["post_processor", "special_tokens"], value: "{}", kind: .inconsistent,
            field: "post_processor.single[0].SpecialToken.id", says: "<pad>"),
        Refusal(
            path: ["post_processor", "special_tokens", "<pad>", "ids"], value: "[999]", kind: .inconsistent,
            field: "post_processor", says: "999"),
        Refusal(
            path: ["post_processor", "single"], value: "[]", kind: .unsupported,
            field: "post_processor.single", says: "exactly one"),
        Refusal(
            path: ["model", "type"], value: #""Foo""#, kind: .unsupported, field: "model.type",
            says: "Foo"),
        Refusal(
            path: ["model", "dropout"], value: "0.1", kind: .unsupported, field: "model.dropout", says: "0.1"),
        Refusal(
            path: ["model", "type"], value: #""Unigram""#, kind: .unsupported, field: "model",
            says: "known fields"),
        Refusal(
            path: ["model", "end_of_word_suffix"], value: #""</w>""#, kind: .unsupported,
            field: "model.end_of_word_suffix", says: "</w>"),
        Refusal(
            path: ["model", "byte_fallback"], value: "1", kind: .malformed, field: "model.byte_fallback",
            says: "true or false"),
        Refusal(
            path: ["model", "unknown_option"], value: "true", kind: .unsupported,
            field: "model.unknown_option", says: "known fields"),
        Refusal(
            path: ["model", "vocab"], value: #"{"a": 0}"#, kind: .inconsistent, field: "added_tokens[0].id",
            says: "263"),
        Refusal(
            path: ["model", "vocab", "hello"], value: "3", kind: .inconsistent, field: "model.vocab",
            says: "id 3"),
        Refusal(
            path: ["model", "vocab", "hello"], value: "-1", kind: .malformed, field: "model.vocab", says: "-1"
        ),
        Refusal(
            path: ["model", "vocab", "hello"], value: "4194304", kind: .malformed, field: "model.vocab",
            says: "4194304"),
        Refusal(
            path: ["model", "vocab", "hello"], value: "1e40", kind: .malformed,
            field: #"model.vocab["hello"]"#, says: "1e+40"),
        Refusal(
            path: ["model", "vocab", "hello"], value: #""x""#, kind: .malformed,
            field: #"model.vocab["hello"]"#, says: "whole number"),
        Refusal(
            path: ["model", "vocab", "hello"], value: "263", kind: .inconsistent, field: "added_tokens",
            says: "263"),
        Refusal(
            path: ["model", "merges"], value: #"["h e", "q q"]"#, kind: .inconsistent,
            field: "model.merges[1]", says: "qq"),
        Refusal(
            path: ["model", "merges"], value: #"[["h", "e", "l"]]"#, kind: .malformed,
            field: "model.merges[0]", says: "3 tokens"),
        Refusal(
            path: ["model", "merges"], value: #"["h"]"#, kind: .malformed, field: "model.merges[0]",
            says: "1 tokens"),
        Refusal(
            path: ["model", "merges"], value: "7", kind: .malformed, field: "", says: "an array"),
        Refusal(
            path: ["model", "merges"], value: "[7]", kind: .malformed, field: "model.merges[0]",
            says: "two tokens"),
        Refusal(
            path: ["added_tokens"], value: #"[{"id": 263}]"#, kind: .malformed,
            field: "added_tokens[0].content", says: "null"),
        Refusal(path: ["added_tokens"], value: "{}", kind: .malformed, field: "added_tokens", says: "array"),
    ]

    private static func split(_ pattern: String, behavior: String = "Isolated") -> String {
        """
        {"type": "Sequence", "pretokenizers": [
          {"type": "Split", "pattern": \(pattern), "behavior": "\(behavior)", "invert": false},
          {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
        """
    }

    @Test(arguments: refusals)
    func refusesWithFieldAndAdvice(_ refusal: Refusal) throws {
        var contents = SmallTokenizer.contents()
        let value = try JSONSerialization.jsonObject(
            with: Data(refusal.value.utf8), options: .fragmentsAllowed)
        Self.set(&contents, refusal.path[...], value)
        let error = try #require(throws: TokenizerError.self) { try SmallTokenizer.load(contents) }
        #expect(error.kind == refusal.kind, "\(error)")
        #expect(error.field.hasPrefix(refusal.field), "\(error)")
        #expect(error.description.contains(refusal.says), "\(error)")
        #expect(error.file == "small.json")
        #expect(!error.advice.isEmpty)
    }

    private static func set(_ object: inout [String: Any], _ path: ArraySlice<String>, _ value: Any) {
        guard let name = path.first else { return }
        guard path.count > 1 else {
            object[name] = value
            return
        }
        var inner = object[name] as? [String: Any] ?? [:]
        set(&inner, path.dropFirst(), value)
        object[name] = inner
    }

    @Test func textThatIsNotJSON() throws {
        for text in [
            "", "{", "[]", "nul", "{\"model\": {}", "\u{FEFF}", String(repeating: "[", count: 100_000),
        ] {
            let error = try #require(throws: TokenizerError.self) {
                try FileTokenizer(json: Data(text.utf8), file: "broken.json")
            }
            #expect(error.kind == .malformed || error.kind == .unsupported, "\(text.prefix(20)): \(error)")
        }
    }

    @Test func encodesByItsMerges() throws {
        let tokenizer = try SmallTokenizer.load()
        #expect(tokenizer.vocabularySize == 266)
        #expect(tokenizer.endOfTextID == 263)
        #expect(tokenizer.beginningOfTextID == nil)
        #expect(tokenizer.encode("") == [])
        // hello = 259, " w" = 260, "or" = 261, "ld" = 262: the merges in order.
        #expect(tokenizer.encode("hello world") == [259, 260, 261, 262])
        #expect(tokenizer.encode("a<pad>b<tool>") == [97, 264, 98, 265])
        #expect(tokenizer.encodeWithSpecialTokens("a") == [264, 97, 263])
        // NFC joins e and the acute accent to U+00E9, which is C3 A9.
        #expect(tokenizer.encode("e\u{301}") == [0xC3, 0xA9])
        #expect(tokenizer.encode(utf8: [0x61, 0xFF]) == [0x61, 0xEF, 0xBF, 0xBD])
        #expect(
            tokenizer.decode([259, -1, 9999, .max, .min]) == "hello" + String(repeating: "\u{FFFD}", count: 4)
        )
        #expect(tokenizer.decode([264, 104]) == "<pad>h")
    }

    /// A document has what the post-processor puts around a text, and the end of text once.
    @Test func documentsBeginAndEnd() throws {
        var contents = SmallTokenizer.contents()
        let tokenizer = try SmallTokenizer.load(contents)
        #expect(tokenizer.openingIDs == [264])
        #expect(tokenizer.encodeDocument("a") == [264, 97, 263])
        contents["post_processor"] = [
            "type": "BertProcessing", "sep": ["<tool>", 265], "cls": ["<pad>", 264],
        ]
        #expect(try SmallTokenizer.load(contents).encodeDocument("a") == [264, 97, 265, 263])
        contents["post_processor"] = NSNull()
        #expect(try SmallTokenizer.load(contents).encodeDocument("a") == [97, 263])
        #expect(ByteTokenizer().encodeDocument("a") == [97])
    }

    @Test func bothFormsOfMergesAreOne() throws {
        var contents = SmallTokenizer.contents()
        var model = try #require(contents["model"] as? [String: Any])
        let merges = try #require(model["merges"] as? [String])
        model["merges"] = merges.map { $0.components(separatedBy: " ") }
        contents["model"] = model
        #expect(try SmallTokenizer.load(contents).encode("hello world") == [259, 260, 261, 262])
    }

    /// The library writes what it was last asked for; transformers sets both for each call.
    @Test func truncationAndPaddingOfAFileCountForNothing() throws {
        var contents = SmallTokenizer.contents()
        let ids = try SmallTokenizer.load(contents).encode("hello hello hello")
        contents["truncation"] = ["max_length": 1, "strategy": "LongestFirst", "stride": 0]
        contents["padding"] = ["strategy": ["Fixed": 16], "pad_id": 0, "pad_token": "<pad>"]
        #expect(try SmallTokenizer.load(contents).encode("hello hello hello") == ids)
    }

    @Test func loadsACheckpointsFolder() throws {
        let folder = try TemporaryFolder()
        let missing = try #require(throws: TokenizerError.self) { try Tokenizers.load(directory: folder.url) }
        #expect(missing.kind == .unreadable)
        #expect(missing.file.hasSuffix("tokenizer.json"))
        #expect(try Tokenizers.find(in: folder.url) == nil)
        try Data().write(to: folder.file("tokenizer.model"))
        let other = try #require(throws: TokenizerError.self) { try Tokenizers.find(in: folder.url) }
        #expect(other.field == "tokenizer.json" && other.description.contains("AutoTokenizer"))

        try SmallTokenizer.json().write(to: folder.file("tokenizer.json"))
        #expect(try Tokenizers.load(directory: folder.url).endOfTextID == 263)

        let names = folder.file("tokenizer_config.json")
        try Data(#"{"eos_token": {"content": "<pad>"}, "bos_token": "<|endoftext|>", "x": [1]}"#.utf8).write(
            to: names)
        let named = try Tokenizers.load(directory: folder.url)
        #expect(named.endOfTextID == 264)
        #expect(named.beginningOfTextID == 263)

        // transformers adds them, and so finds them in texts; what is in neither file it gives a number of its own.
        try Data(
            #"{"eos_token": "<tool>", "unk_token": "he", "mask_token": "<none>", "extra_special_tokens": {"a": "ld"}}"#
                .utf8
        ).write(to: names)
        let more = try Tokenizers.load(directory: folder.url)
        #expect(more.endOfTextID == 265)
        #expect(Set(more.specialTokens.keys) == ["<|endoftext|>", "<pad>", "<tool>", "he", "ld"])
        #expect(named.encode("hello") == [259])
        #expect(more.encode("hello").first == 256 && more.encode("hello").count == 3)

        try Data(#"{"split_special_tokens": true}"#.utf8).write(to: names)
        let split = try #require(throws: TokenizerError.self) { try Tokenizers.load(directory: folder.url) }
        #expect(split.field == "split_special_tokens")

        try Data(#"{"eos_token": "<none>"}"#.utf8).write(to: names)
        let error = try #require(throws: TokenizerError.self) { try Tokenizers.load(directory: folder.url) }
        #expect(error.field == "eos_token")
        #expect(error.kind == .inconsistent)
    }
}
