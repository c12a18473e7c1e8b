import LigerText
import LigerTrainer
import Testing

@Suite struct InstructionSampleTests {
    private func sample(_ text: String, _ learned: Range<Int>...) -> InstructionSample {
        InstructionSample(
            InstructionExample(line: 3, tokens: text.utf8.map { Int32($0) }, learned: learned),
            ByteTokenizer())
    }

    @Test func whatIsNotLearnedIsDimOnATerminal() {
        let sample = sample("ask: yes!", 5..<8)
        #expect(
            sample.lines(isTerminal: true)
                == "sample  line 3: 9 tokens, 3 of them learned; what is dim is not learned\n"
                + "\u{1B}[2mask: \u{1B}[0myes\u{1B}[2m!\u{1B}[0m")
        #expect(sample.lines(isTerminal: false).hasSuffix("stands in ⟦ ⟧\nask: ⟦yes⟧!"))
        #expect(
            sample.json
                == #"{"sample":{"line":3,"tokens":9,"learned":3,"parts":[{"learned":false,"text":"ask: "},"#
                + #"{"learned":true,"text":"yes"},{"learned":false,"text":"!"}]}}"#)
    }

    /// An end right after an answer must be learned with it: the model would not learn to stop.
    @Test func anEndThatIsNotLearnedIsSaid() {
        func warning(_ text: String, _ learned: Range<Int>...) -> String? {
            let example = InstructionExample(line: 3, tokens: text.utf8.map { Int32($0) }, learned: learned)
            let sample = InstructionSample(example, ByteTokenizer(), ends: [Int32(UInt8(ascii: ";"))])
            #expect(sample.json.hasSuffix("\"unlearned_end\":\";\"}}") == (sample.warning != nil))
            return sample.warning
        }
        #expect(
            warning("ask: yes;", 5..<8)?.hasPrefix("warning: the answer's end, ;, is not learned") == true)
        #expect(warning("a: b; a: yes;", 3..<5, 9..<12) != nil, "the second answer's")
        #expect(warning("ask: yes;", 5..<9) == nil)
        #expect(warning("ask: yes;;", 5..<9) == nil)
        #expect(warning("ask; yes.", 5..<8) == nil && warning("ask: yes", 5..<8) == nil)
    }

    /// Data of others neither steers the terminal nor floods it.
    @Test func controlCharactersAreShownAndLongTextIsCut() {
        let shown = sample("a\u{1B}[2J\u{202E}b\n\tc", 1..<3).lines(isTerminal: false)
        #expect(shown.contains(#"a⟦\u{1b}[⟧2J\u{202e}b"#) && shown.hasSuffix("\n\tc"))
        let long = sample(String(repeating: "x", count: 5000), 4000..<5000).lines(isTerminal: true)
        #expect(long.count < 2200 && long.hasSuffix(" ..."))
    }
}
