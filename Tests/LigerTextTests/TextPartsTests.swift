import Foundation
import LigerText
import Testing

/// A text that is made tokens in parts has the ids of the whole.
@Suite struct TextPartsTests {
    private func ids(_ text: String, _ tokenizer: any Tokenizer, size: Int) -> (ids: [Int32], parts: Int) {
        var parts = TextParts(tokenizer, size: size)
        var (ids, count): ([Int32], Int) = ([], 0)
        // Pieces end inside characters.
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: 5) {
            bytes[start..<min(start + 5, bytes.count)].withUnsafeBytes {
                parts.add($0) {
                    ids += $0
                    count += 1
                }
            }
        }
        parts.finish { ids += $0 }
        return (ids, count)
    }

    private static let text =
        "hello world  hello's\nhello \u{E9}t\u{E9} w\u{301} o \u{6F22}\n\u{5B57} 12 345 <tool> hello <tool>w hello.\n\nworld "
        + "<|endoftext|>hello world\u{3000}hello \u{1F600} a\u{300} b hello wor\tld \u{410}\u{411} \u{412} \u{AC00} \u{AC01}\n"

    private static var long: String { String(repeating: text, count: 6) }

    @Test(arguments: SmallKinds.allCases, [1, 2, 16, 200]) func smallKinds(_ kind: SmallKinds, size: Int)
        throws
    {
        let tokenizer = try FileTokenizer(json: kind.json(), file: "small.json")
        let found = ids(Self.long, tokenizer, size: size)
        #expect(found.ids == tokenizer.encode(Self.long))
        #expect(TextParts(tokenizer).canCut == (found.parts > 0) || size == 200, "\(found.parts) parts")
    }

    private func tokenizer(_ parts: [String: Any]) throws -> FileTokenizer {
        try SmallTokenizer.load(SmallTokenizer.contents().merging(parts) { $1 })
    }

    private func sequence(_ steps: [[String: Any]]) -> [String: Any] {
        var bytes = SmallTokenizer.byteLevel
        bytes["use_regex"] = false
        return ["type": "Sequence", "pretokenizers": steps + [bytes]]
    }

    private func split(_ regex: String, _ behavior: String = "Isolated", invert: Bool = false) -> [String:
        Any]
    {
        ["type": "Split", "pattern": ["Regex": regex], "behavior": behavior, "invert": invert]
    }

    /// Where texts can be cut, and where a step sees both sides of any place.
    @Test func cutsFollowTheSteps() throws {
        let steps: [(steps: [[String: Any]], canCut: Bool)] = [
            ([split(#"\p{L}+|\s+|[^\s\p{L}]+"#)], true),
            ([split(#"'s| ?\p{L}+|\s+(?!\S)|\s+|."#)], true),
            ([split(#"\s+"#, "Removed")], true),
            ([split(#"\p{N}{1,3}"#), split(#" ?\p{L}+|[^\p{L}]"#)], true),
            // Ends of lines are places too.
            ([split(#"[^\n]+|\n"#)], true),
            ([split(#"\p{L}+ ?|\s|[^\s\p{L}]+"#)], true),
            // A match asks what follows a letter, or nothing cuts at a space.
            ([split(#"\p{L}+(?=\s)|[^\n]"#)], false),
            ([split(#"\p{L}+$|."#)], false),
            ([split(#"\p{N}+"#)], false),
            ([split(#"\s"#, "MergedWithPrevious")], false),
            ([["type": "Digits", "individual_digits": true]], false),
            ([["type": "Digits", "individual_digits": true], SmallTokenizer.byteLevel], true),
            (
                [
                    [
                        "type": "Split", "pattern": ["String": " "], "behavior": "MergedWithNext",
                        "invert": false,
                    ]
                ], true
            ),
            (
                [
                    [
                        "type": "Split", "pattern": ["String": " "], "behavior": "MergedWithPrevious",
                        "invert": false,
                    ]
                ], false
            ),
        ]
        for (steps, canCut) in steps {
            let last = steps.last?["type"] as? String
            let tokenizer = try tokenizer([
                "pre_tokenizer": last == "ByteLevel"
                    ? ["type": "Sequence", "pretokenizers": steps] : sequence(steps)
            ])
            #expect(TextParts(tokenizer).canCut == canCut, "\(steps)")
            for size in [1, 30] {
                #expect(ids(Self.long, tokenizer, size: size).ids == tokenizer.encode(Self.long), "\(steps)")
            }
        }
    }

    @Test func normalizersAreFollowedToo() throws {
        func replace(_ pattern: [String: String], _ content: String) -> [String: Any] {
            ["type": "Replace", "pattern": pattern, "content": content]
        }
        let steps: [(step: [String: Any], canCut: Bool)] = [
            (["type": "NFD"], true), (["type": "Lowercase"], true),
            (["type": "Strip", "strip_left": true, "strip_right": true], true),
            (["type": "Prepend", "prepend": "x"], true),
            (replace(["String": "``"], "\""), true), (replace(["Regex": " {2,}"], " "), true),
            (replace(["String": "o w"], "-"), false), (replace(["String": "hello"], " "), false),
            (replace(["Regex": "[a-z] [a-z]"], "-"), false), (replace(["String": " "], "-"), false),
        ]
        for (step, canCut) in steps {
            let tokenizer = try tokenizer(["normalizer": step])
            let marks = TextParts(tokenizer).canCut
            // A rule for spaces leaves the ends of lines.
            #expect(marks == (canCut || "\(step)".contains("String\": \" \"")), "\(step)")
            for size in [1, 30] {
                #expect(ids(Self.long, tokenizer, size: size).ids == tokenizer.encode(Self.long), "\(step)")
            }
        }
    }

    /// An added token that is a word, or takes the spaces around it.
    @Test func addedTokensAreNotCut() throws {
        var contents = SmallTokenizer.contents()
        let model = try #require(contents["model"] as? [String: Any])
        let vocabulary = try #require(model["vocab"] as? [String: Int])
        var next = vocabulary.count
        // A token of the vocabulary keeps its id, and the others follow in order.
        func added(_ content: String, _ options: [String: Any]) -> [String: Any] {
            let known = vocabulary[content]
            defer { next += known == nil ? 1 : 0 }
            return SmallTokenizer.addedToken(known ?? next, content, special: false).merging(options) { $1 }
        }
        contents["added_tokens"] = [
            added("lo w", [:]), added("hello", ["rstrip": true, "single_word": true]),
            added("rld", ["lstrip": true, "normalized": true]), added("b", ["lstrip": true]),
        ]
        contents["post_processor"] = NSNull()
        let tokenizer = try SmallTokenizer.load(contents)
        for size in [1, 3, 30] {
            #expect(ids(Self.long, tokenizer, size: size).ids == tokenizer.encode(Self.long))
        }
    }
}
