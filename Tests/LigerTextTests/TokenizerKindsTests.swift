import Foundation
import LigerText
import TestSupport
import Testing

/// Ids and decoded text equal those of the `tokenizers` library for each kind of tokenizer, and so do the words of each
/// pre-tokenizer and the texts of each normalizer alone.
@Suite(.enabled(if: Python.tokenizers.shouldRun, Comment(rawValue: Python.tokenizers.skipReason)))
struct TokenizerKindsTests {
    /// Byte-level ones by their expressions, SentencePiece's of byte pairs and of unigrams, BERT's, whole words.
    static let names = [
        "tekken", "o200k", "cl100k", "olmo2", "marks", "deepseek", "smollm", "removed",
        "llama2", "mistral", "gemma", "unknown", "unknown_fused", "whole_words",
        "t5", "albert", "xlnet", "unigram_bytes", "bert", "levels",
    ]

    /// A short text with what the library makes of it.
    struct Case: Decodable {
        var text: String
        var ids: [Int32]
        var withSpecialTokens: [Int32]
        var whole: String
        /// Every second id decoded, so that characters are cut.
        var half: String
    }

    /// What a part of a tokenizer makes of texts.
    struct Record<Result: Decodable>: Decodable {
        struct Case: Decodable {
            var text: String
            var result: Result

            init(from decoder: any Decoder) throws {
                var pair = try decoder.unkeyedContainer()
                text = try pair.decode(String.self)
                result = try pair.decode(Result.self)
            }
        }

        var tokenizer: String
        var cases: [Case]
    }

    /// LIGER_TOKENIZER_BYTES=1000000 compares texts of that size.
    private static let made: Result<URL, any Error> = Result {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("tokenizer-kinds-\(UUID().uuidString)")
        let size = ProcessInfo.processInfo.environment["LIGER_TOKENIZER_BYTES"] ?? "50000"
        try Python.tokenizers.run(script: "tokenizer_kinds_fixture.py", folder.path, size)
        atexit { TokenizerKindsTests.remove() }
        return folder
    }

    private static func remove() {
        if let folder = try? made.get() { try? FileManager.default.removeItem(at: folder) }
    }

    private func data(_ name: String) throws -> Data {
        try Data(contentsOf: Self.made.get().appendingPathComponent(name))
    }

    private func tokenizer(_ name: String) throws -> FileTokenizer {
        try FileTokenizer(json: data("\(name).json"), file: name)
    }

    @Test(arguments: names)
    func encodesText(_ name: String) throws {
        let tokenizer = try tokenizer(name)
        let bytes = [UInt8](try data("text.txt"))
        let expected = try data("\(name).ids").withUnsafeBytes { raw in
            (0..<raw.count / 4).map {
                Int32(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))
            }
        }
        var ids: [Int32] = []
        let time = ContinuousClock().measure { ids = tokenizer.encode(utf8: bytes) }
        let rate = Double(bytes.count) / 1e6 / (time / .seconds(1))
        print("\(name): \(bytes.count) bytes, \(ids.count) ids, \(rate.rounded()) MB/s")
        #expect(firstDifference(ids, expected) == nil)
        #expect(firstDifference(tokenizer.encode(String(decoding: bytes, as: UTF8.self)), ids) == nil)
        // Where the library reads an added token's characters as bytes, ours stay as they are.
        if name != "tekken", name != "smollm" {
            #expect(firstDifference(tokenizer.decode(ids).utf8, [UInt8](try data("\(name).decoded"))) == nil)
        }
    }

    /// All kinds but those that see whole texts as one word can be cut, and parts have the ids of the whole.
    @Test(arguments: names)
    func encodesInParts(_ name: String) throws {
        let tokenizer = try tokenizer(name)
        let bytes = [UInt8](try data("text.txt"))
        let expected = tokenizer.encode(utf8: bytes)
        for size in [1, 300] {
            var (ids, count): ([Int32], Int) = ([], 0)
            var parts = TextParts(tokenizer, size: size)
            bytes.withUnsafeBytes {
                parts.add($0) {
                    ids += $0
                    count += 1
                }
            }
            parts.finish { ids += $0 }
            #expect(firstDifference(ids, expected) == nil, "\(name) in \(count) parts")
            print("\(name): \(count) parts of \(size) bytes or more")
            #expect(count > 20 || !parts.canCut, "\(name): \(count) parts")
        }
    }

    @Test(arguments: names)
    func encodesShortTexts(_ name: String) throws {
        let cases = try JSONDecoder().decode([Case].self, from: data("\(name).cases.json"))
        let tokenizer = try tokenizer(name)
        #expect(cases.count > 450)
        let accented = [tokenizer.encode("<\u{E9}>"), tokenizer.encode("lol\u{F3}")].filter { $0.count == 1 }
        let different = cases.filter { item in
            let half = item.ids.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            let isComparable =
                !["tekken", "smollm"].contains(name) || !item.ids.contains { accented.contains([$0]) }
            return tokenizer.encode(item.text) != item.ids
                || tokenizer.encodeWithSpecialTokens(item.text) != item.withSpecialTokens
                || isComparable && !tokenizer.decode(item.ids).utf8.elementsEqual(item.whole.utf8)
                || isComparable && !tokenizer.decode(half).utf8.elementsEqual(item.half.utf8)
        }
        let first = different.first
        #expect(
            different.isEmpty,
            """
            \(name): \(different.count) of \(cases.count) texts; the first is \(first?.text.debugDescription ?? ""), \
            \(first.map { tokenizer.encode($0.text) } ?? []) instead of \(first?.ids ?? []), \
            \(first.map { tokenizer.decode($0.ids) }.debugDescription) instead of \(first?.whole.debugDescription ?? "")
            """)
    }

    @Test func cutsWordsAsPreTokenizersDo() throws {
        let records = try JSONDecoder().decode([Record<[String]>].self, from: data("words.json"))
        #expect(records.count > 70)
        for record in records {
            let tokenizer = try FileTokenizer(json: Data(record.tokenizer.utf8), file: "words.json")
            let different = record.cases.filter { item in
                !tokenizer.words(of: item.text).map { Array($0.utf8) }
                    .elementsEqual(item.result.map { Array($0.utf8) })
            }
            let first = different.first
            #expect(
                different.isEmpty,
                """
                \(record.tokenizer.prefix(400)): \(different.count) texts; of \(first?.text.debugDescription ?? "") \
                \(first.map { tokenizer.words(of: $0.text) } ?? []) instead of \(first?.result ?? [])
                """)
        }
    }

    @Test func normalizesAsNormalizersDo() throws {
        let records = try JSONDecoder().decode([Record<String>].self, from: data("normalized.json"))
        #expect(records.count > 15)
        for record in records {
            let tokenizer = try FileTokenizer(json: Data(record.tokenizer.utf8), file: "normalized.json")
            let different = record.cases.compactMap { item -> String? in
                let ours = tokenizer.normalized(item.text)
                if ours.utf8.elementsEqual(item.result.utf8) { return nil }
                let place = zip(ours.unicodeScalars, item.result.unicodeScalars).first { $0 != $1 }
                return "\(item.text.debugDescription.prefix(60)), \(String(describing: place))"
            }
            #expect(
                different.isEmpty,
                "\(record.tokenizer.prefix(400)): \(different.count), \(different.prefix(6))")
        }
    }
}
