import LigerText
import LigerTrainer
import Synchronization
import TestSupport
import Testing

/// Text that grows by tokens is that of all tokens together, and each token costs the same.
@Suite struct StreamedTextTests {
    /// Decodes as SentencePiece's tokenizers do: words begin with a space, which the first one loses, and tokens from 256
    /// on are bytes, of which a run that is no text becomes U+FFFD.
    final class Pieces: Tokenizer, Sendable {
        let decoded = Atomic<Int>(0)
        let words = [
            "\u{2581}the", "\u{2581}", "a", "\u{2581}\u{6F22}", "ing", "\u{E9}", ".", "\u{2581}\u{1F600}",
        ]

        var vocabularySize: Int { 512 }
        var specialTokens: [String: Int32] { [:] }
        var beginningOfTextID: Int32? { nil }
        var endOfTextID: Int32? { nil }
        var openingIDs: [Int32] { [] }
        var closingIDs: [Int32] { [] }
        func encode(_ text: String) -> [Int32] { encode(utf8: Array(text.utf8)) }
        func encode(utf8 bytes: [UInt8]) -> [Int32] { bytes.map { 256 + Int32($0) } }

        func decodeBytes(_ ids: [Int32]) -> [UInt8] {
            decoded.add(ids.count, ordering: .relaxed)
            var (bytes, run): ([UInt8], [UInt8]) = ([], [])
            func flush(_ isLast: Bool) {
                let isText = String(validating: run, as: UTF8.self) != nil
                let begins = isLast && (1...3).contains(run.count) && run[0] >= 0xC2
                bytes += isText || begins ? run : run.flatMap { _ in Array("\u{FFFD}".utf8) }
                run = []
            }
            for id in ids {
                if id >= 256 {
                    run.append(UInt8(id - 256))
                } else {
                    flush(false)
                    let word = words[Int(id) % words.count].replacing("\u{2581}", with: " ")
                    bytes += word.utf8
                }
            }
            flush(true)
            return bytes.first == 0x20 ? Array(bytes.dropFirst()) : bytes
        }
    }

    private func expectSame(_ ids: [Int32], _ tokenizer: any Tokenizer) {
        var streamed = StreamedText(tokenizer)
        var pieces = ids.map { streamed.add($0) }
        pieces.append(streamed.finish())
        #expect(pieces.joined() == tokenizer.decode(ids) && streamed.shown == tokenizer.decode(ids))
        #expect(streamed.tokens == ids)
    }

    @Test func allPiecesAreTheText() {
        let text = Array(String(repeating: "d\u{E9}j\u{E0} \u{6F22}\u{5B57} \u{1F600}, ", count: 40).utf8)
        expectSame(text.map { Int32($0) }, ByteTokenizer())
        expectSame(text.map { 256 + Int32($0) }, Pieces())
        var random = SeededGenerator(seed: 3)
        for length in [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 500] {
            expectSame((0..<length).map { _ in Int32.random(in: 0..<8, using: &random) }, Pieces())
            // Whole characters between words.
            let mixed = (0..<length).flatMap { _ -> [Int32] in
                Bool.random(using: &random)
                    ? [Int32.random(in: 0..<8, using: &random)]
                    : Array("\u{6F22}".utf8).map { 256 + Int32($0) }
            }
            expectSame(mixed, Pieces())
        }
    }

    @Test func eachTokenCostsTheSame() {
        func cost(_ count: Int) -> Int {
            let tokenizer = Pieces()
            var streamed = StreamedText(tokenizer)
            for index in 0..<count { _ = streamed.add(Int32(index % 8)) }
            return tokenizer.decoded.load(ordering: .relaxed)
        }
        #expect(cost(4000) < 64 * 4000)
        #expect(cost(8000) < 2 * cost(4000) + 1000)
    }
}
