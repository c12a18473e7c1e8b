import Foundation
import LigerText
import TestSupport
import Testing

/// Hostile files of every kind never crash, and hostile expressions never take long.
@Suite struct TokenizerKindsFuzzTests {
    /// LIGER_TEST_MUTATIONS=100000 mutates so many files of each kind; a failure is repeated by its seed.
    @Test(arguments: SmallKinds.allCases)
    func mutatedFiles(_ kind: SmallKinds) throws {
        let count = ProcessInfo.processInfo.environment["LIGER_TEST_MUTATIONS"].flatMap(Int.init) ?? 1000
        let seed = 41 + UInt64(kind.rawValue.utf8.count)
        var random = SeededGenerator(seed: seed)
        let original = [UInt8](try kind.json())
        var read = 0
        var refused = 0
        for _ in 0..<count {
            let mutated = Mutation.ofTokenizers.mutate(original, &random)
            do {
                let tokenizer = try FileTokenizer(json: Data(mutated), file: "fuzz.json")
                let ids = tokenizer.encode("hello  <s> wor\u{301}ld's a\u{AD}\n\u{6F22}12345 \u{1F600}WO")
                let size = Int32(tokenizer.vocabularySize)
                #expect(ids.allSatisfy { (0..<size).contains($0) }, "\(kind), seed \(seed)")
                _ = tokenizer.decode(ids + tokenizer.encodeWithSpecialTokens("hello 12"))
                _ = tokenizer.decodeBytes(Array(ids.reversed()))
                read += 1
            } catch is TokenizerError {
                refused += 1
            }
        }
        print("\(kind), seed \(seed): \(read) read, \(refused) refused")
        // Both ways must be met, or the mutations are too mild or too wild.
        #expect(read > count / 50)
        #expect(refused > count / 5)
    }

    /// What each small file makes of a text, by hand.
    @Test func smallFilesEncode() throws {
        func load(_ kind: SmallKinds) throws -> FileTokenizer {
            try FileTokenizer(json: kind.json(), file: kind.rawValue)
        }
        let pieces = try load(.pieces)
        let word: (String) -> Int32 = { pieces.encode($0).last ?? -1 }
        #expect(pieces.encode("hello wo") == [259, word("hello"), word(" w"), word("o")])
        // Bytes stand behind three special tokens.
        let ofE: [Int32] = [259, 3 + 0xC3, 3 + 0xA9]
        #expect(pieces.encode("\u{E9}") == ofE)
        #expect(pieces.encodeWithSpecialTokens("h") == [1, 259, word("h"), 2])
        #expect(pieces.decode(pieces.encode("hello w\u{E9}")) == "hello w\u{E9}")
        #expect(pieces.decodeBytes([3 + 0xC3]) == [0xC3])
        #expect(pieces.decode([3 + 0xC3]) == "\u{FFFD}")
        #expect(pieces.decode([3 + 0xC3, 3 + 0xC3]) == "\u{FFFD}\u{FFFD}")

        let unigrams = try load(.unigrams)
        // "hello" as he + llo; "a" becomes "b" by the map, which is no token but a byte.
        #expect(unigrams.encode(" HELLO  a") == [1, 5, 6, 1, 7 + 0x62])
        #expect(unigrams.decode([1, 5, 6, 1, 5]) == "hello he")

        let words = try load(.words)
        #expect(words.encode("Hello, w\u{F6}rld hell1 hex") == [5, 4, 7, 6, 5, 3, 3, 9, 0])
        #expect(words.decode([5, 4, 7, 6]) == "hello, world")

        let expressions = try load(.expressions)
        // Each piece gets a space; the second expression has no numbers, so that "12" is cut by its last part.
        #expect(expressions.decode(expressions.encode("Hello12")) == " Hell o 1 2")
    }

    /// A vocabulary may have both forms of a letter, which are equal as strings of Swift.
    @Test func canonicallyEqualTokensAreTwo() throws {
        var contents = SmallKinds.words.contents
        contents["normalizer"] = NSNull()
        var model = try #require(contents["model"] as? [String: Any])
        model["vocab"] = NSNull()
        contents["model"] = model
        let json = String(decoding: try SmallTokenizer.json(contents), as: UTF8.self)
            .replacingOccurrences(of: #""vocab":null"#, with: #""vocab":{"[UNK]":0,"\u00e9":1,"e\u0301":2}"#)
        let tokenizer = try FileTokenizer(json: Data(json.utf8), file: "forms.json")
        #expect(tokenizer.encode("\u{E9} e\u{301} e") == [1, 2, 0])
        let twice = json.replacingOccurrences(of: #""e\u0301":2"#, with: #""\u00e9":2"#)
        let error = #expect(throws: TokenizerError.self) {
            try FileTokenizer(json: Data(twice.utf8), file: "twice.json")
        }
        #expect(error?.found == "this token a second time")
    }

    /// Expressions that make a matcher go back over the same ground: exponentially, or with a power of the length.
    @Test(arguments: [
        #"(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|a)?(?:a|aa)?(?:a|aa)?(?:a|a)?b"#,
        "a*a*a*a*a*a*b", "a++b", #"\w+\w+\s"#, "a+(?=b)|aa+c", "(?:a|aa|aaa)?a*(?:a|aa)?a*(?:a|aaa)?a*c",
    ])
    func hostileExpressions(_ pattern: String) throws {
        var contents = SmallKinds.words.contents
        contents["normalizer"] = NSNull()
        contents["pre_tokenizer"] = [
            "type": "Split", "pattern": ["Regex": pattern], "behavior": "Isolated", "invert": false,
        ]
        let tokenizer = try FileTokenizer(json: SmallTokenizer.json(contents), file: "hostile.json")
        #expect(tokenizer.words(of: "aaa") == ["aaa"])
        let length = pattern.hasPrefix("(?:a|a)") ? 20_000 : 200_000
        let seconds = processorSeconds {
            #expect(tokenizer.words(of: String(repeating: "a", count: length)).count == 1)
        }
        // A square of the length would be 40 billion steps.
        #expect(seconds < 20, "\(pattern): \(seconds) s")
    }

    /// What is beyond the subset is refused with its reason.
    @Test(arguments: [
        "(?<=a)b", #"(a)\1"#, "a*?", "(ab)+", "[a&&b]", #"\bword"#, "^a", "a**", "(?i:ss)", #"\p{Han}"#, "x*",
        "(",
        ")", "[", "a{2,1}", "a{99}", #"\"#, #"\x{110000}"#, "(?>a)", "[[:alpha:]]", "(?i:\u{E9})",
        #"(?i:\p{Lu})"#,
        String(repeating: "(", count: 100_000), String(repeating: "a|", count: 20_000),
        String(repeating: "a|", count: 1000) + "b",
        (0..<70).map { "[a\(UnicodeScalar(0x4E00 + $0).map(String.init) ?? "")]" }.joined(),
    ])
    func refusedExpressions(_ pattern: String) throws {
        var contents = SmallKinds.words.contents
        contents["pre_tokenizer"] = [
            "type": "Split", "pattern": ["Regex": pattern], "behavior": "Isolated", "invert": false,
        ]
        let json = try SmallTokenizer.json(contents)
        let error = try #require(throws: TokenizerError.self) {
            try FileTokenizer(json: json, file: "refused.json")
        }
        #expect(error.kind == .unsupported)
        #expect(error.field == "pre_tokenizer.pattern.Regex")
        #expect(error.advice.contains("beyond the supported ones"))
    }
}
