import LigerTrainer
import Testing

@Suite struct TokenPlacesTests {
    private func places(_ pieces: [String], of text: String) -> TokenPlaces? {
        TokenPlaces(Array(0..<Int32(pieces.count)), of: Array(text.utf8)) { Array(pieces[Int($0)].utf8) }
    }

    @Test func aTokenThatALearnedByteBelongsToIsLearned() throws {
        let found = try #require(places(["ab", "cd", "ef"], of: "abcdef"))
        #expect(found.ranges == [0..<2, 2..<4, 4..<6])
        #expect(found.tokens(within: 2..<4) == 1..<2)
        #expect(found.tokens(within: 3..<5) == 1..<3)
        #expect(found.tokens(within: 0..<6) == 0..<3)
        #expect(found.tokens(within: 4..<4).isEmpty)
    }

    /// SentencePiece puts a space before a text, and says none after a special token; added tokens swallow space.
    @Test func spacesMayBeMissing() throws {
        let dummy = try #require(places([" ab", " c"], of: "ab c"))
        #expect(dummy.ranges == [0..<2, 2..<4])
        let swallowed = try #require(places(["a", "<x>", "b"], of: "a \n<x>  b\n"))
        #expect(swallowed.ranges == [0..<1, 1..<6, 6..<9])
    }

    @Test func anotherTextHasNoPlaces() {
        #expect(places(["ab", "x"], of: "abc") == nil)
        #expect(places(["ab"], of: "abc") == nil)
        #expect(places(["ab", "c", "d"], of: "abc") == nil)
    }
}
