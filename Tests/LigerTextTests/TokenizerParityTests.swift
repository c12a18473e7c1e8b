import Foundation
import LigerText
import TestSupport
import Testing

/// Ids and decoded text equal those of the `tokenizers` library, for tokenizers that it trains here.
///
/// Three families, and variants of them: a prefix space with NFC and added tokens, no splitting at all (words of
/// thousands of bytes), and Llama 3 without the look-up of whole words.
@Suite(.enabled(if: Python.tokenizers.shouldRun, Comment(rawValue: Python.tokenizers.skipReason)))
struct TokenizerParityTests {
    static let names = ["gpt2", "llama3", "qwen2", "gpt2_prefix_space", "gpt2_unsplit", "llama3_merged"]

    /// A short text with what the library makes of it.
    struct Case: Decodable {
        var text: String
        var ids: [Int32]
        var withSpecialTokens: [Int32]
        /// Every second id decoded, so that characters are cut.
        var half: String
    }

    private func tokenizer(_ name: String) throws -> FileTokenizer {
        try FileTokenizer(contentsOf: ParityFixture.folder().appendingPathComponent("\(name).json"))
    }

    @Test(arguments: names)
    func encodesOneMegabyte(_ name: String) throws {
        let folder = try ParityFixture.folder()
        let tokenizer = try tokenizer(name)
        let bytes = [UInt8](try Data(contentsOf: folder.appendingPathComponent("text.txt")))
        let data = try Data(contentsOf: folder.appendingPathComponent("\(name).ids"))
        let expected = data.withUnsafeBytes { raw in
            (0..<raw.count / 4).map {
                Int32(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))
            }
        }
        #expect(bytes.count >= 1_000_000)
        var ids: [Int32] = []
        let time = ContinuousClock().measure { ids = tokenizer.encode(utf8: bytes) }
        let rate = Double(bytes.count) / 1e6 / (time / .seconds(1))
        print("\(name): \(ids.count) ids, \(rate.rounded()) MB/s")

        #expect(firstDifference(ids, expected) == nil)
        #expect(firstDifference(tokenizer.encode(String(decoding: bytes, as: UTF8.self)), ids) == nil)
        if name == "gpt2" || name == "llama3" {
            #expect(firstDifference(tokenizer.decodeBytes(ids), bytes) == nil)
        }
    }

    @Test(arguments: names)
    func encodesShortTexts(_ name: String) throws {
        let url = try ParityFixture.folder().appendingPathComponent("\(name).cases.json")
        let cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: url))
        let tokenizer = try tokenizer(name)
        #expect(cases.count > 3000)
        // The library decodes the characters of an added token as bytes where they are of the byte alphabet.
        let accented = [tokenizer.encode("<\u{E9}>"), tokenizer.encode("lol\u{F3}")].filter { $0.count == 1 }
        let different = cases.filter { item in
            let half = item.ids.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            let isComparable = !half.contains { accented.contains([$0]) }
            return tokenizer.encode(item.text) != item.ids
                || tokenizer.encodeWithSpecialTokens(item.text) != item.withSpecialTokens
                || isComparable && Array(tokenizer.decode(half).utf8) != Array(item.half.utf8)
        }
        let shown = different.first.map { $0.text.unicodeScalars.map { String($0.value, radix: 16) } }
        #expect(different.isEmpty, "\(name): \(different.count) texts, the first \(shown ?? [])")
    }

    /// Lines before and after normalisation by Python, whose Unicode may be older but knows what is compared.
    @Test func composesAsPythonDoes() throws {
        let folder = try ParityFixture.folder()
        let lines = try ["forms.txt", "forms.nfc.txt"].map { name in
            let data = try Data(contentsOf: folder.appendingPathComponent(name))
            return data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(lines[0].count > 100_000)
        #expect(lines[0].count == lines[1].count)
        let different = zip(lines[0], lines[1]).filter {
            Array(CanonicalComposition.composed($0).utf8) != Array($1.utf8)
        }
        #expect(
            different.isEmpty,
            "\(different.count) lines, such as \(different.prefix(5).map(\.0.unicodeScalars.debugDescription))"
        )
        let whole = CanonicalComposition.composed(lines[0].joined(separator: "\n"))
        #expect(firstDifference(whole.utf8, lines[1].joined(separator: "\n").utf8) == nil)
    }

    @Test func openingTokensComeFromTheTemplate() throws {
        let tokenizer = try tokenizer("llama3")
        let opening = try #require(tokenizer.specialTokens["<|begin_of_text|>"])
        #expect(tokenizer.beginningOfTextID == opening)
        #expect(tokenizer.encodeWithSpecialTokens("a").first == opening)
        #expect(tokenizer.endOfTextID == tokenizer.specialTokens["<|endoftext|>"])
        #expect(tokenizer.encode("<|endoftext|>") == [tokenizer.endOfTextID])
    }
}
