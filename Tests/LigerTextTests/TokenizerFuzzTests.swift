import Foundation
import LigerText
import TestSupport
import Testing

/// Hostile input never crashes: it is read or refused, and what is read encodes and decodes any text.
@Suite struct TokenizerFuzzTests {
    /// 4 seeds of 3,000 mutated files each; a failure is repeated by its printed seed.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func mutatedFiles(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let original = [UInt8](try SmallTokenizer.json())
        var read = 0
        var refused = 0
        for _ in 0..<3000 {
            let mutated = Mutation.ofTokenizers.mutate(original, &random)
            do {
                let tokenizer = try FileTokenizer(json: Data(mutated), file: "fuzz.json")
                let ids = tokenizer.encode("hello  <pad> wor\u{301}ld's\n")
                let size = Int32(tokenizer.vocabularySize)
                #expect(ids.allSatisfy { (0..<size).contains($0) }, "seed \(seed)")
                _ = tokenizer.decode(ids + tokenizer.encodeWithSpecialTokens("<tool> 12"))
                read += 1
            } catch is TokenizerError {
                refused += 1
            }
        }
        print("seed \(seed): \(read) read, \(refused) refused")
        // Both ways must be met, or the mutations are too mild or too wild.
        #expect(read > 100)
        #expect(refused > 1000)
    }

    /// Random valid texts of every script, runs of spaces and special tokens come back as they were.
    @Test(arguments: [5, 6] as [UInt64])
    func validTextsComeBack(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var contents = SmallTokenizer.contents()
        contents["normalizer"] = NSNull()
        let tokenizers: [any Tokenizer] = [try SmallTokenizer.load(contents), ByteTokenizer()]
        for _ in 0..<5000 {
            let bytes = RandomText.make(&random)
            for tokenizer in tokenizers {
                let ids = tokenizer.encode(utf8: bytes)
                #expect(tokenizer.decodeBytes(ids) == bytes, "seed \(seed): \(bytes)")
                #expect(
                    tokenizer.encode(String(decoding: bytes, as: UTF8.self)) == ids, "seed \(seed): \(bytes)")
            }
        }
    }

    /// Random bytes, mostly not UTF-8: bytes come back exactly, byte pairs as the repaired text.
    @Test(arguments: [7] as [UInt64])
    func randomBytes(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var contents = SmallTokenizer.contents()
        contents["normalizer"] = NSNull()
        let tokenizer = try SmallTokenizer.load(contents)
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(ByteTokenizer().decodeBytes(ByteTokenizer().encode(utf8: bytes)) == bytes, "seed \(seed)")
            #expect(
                Array(tokenizer.decode(tokenizer.encode(utf8: bytes)).utf8) == Array(text.utf8),
                "seed \(seed): \(bytes)")
        }
    }

    @Test func byteTokenizer() {
        let tokenizer = ByteTokenizer()
        #expect(tokenizer.vocabularySize == 256)
        #expect(tokenizer.encode("aé") == [0x61, 0xC3, 0xA9])
        #expect(tokenizer.decode([0x61, 0xC3, 0xA9]) == "aé")
        #expect(tokenizer.decode([256, -1, 0x61]) == "\u{FFFD}\u{FFFD}a")
        #expect(tokenizer.endOfTextID == nil)
    }
}
