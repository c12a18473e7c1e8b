import LigerText
import LigerTrainer
import Testing

@Suite struct ExampleSampleTests {
    private func sample(_ text: String, _ learned: Range<Int>...) -> ExampleSample {
        let example = InstructionExample(line: 3, tokens: text.utf8.map { Int32($0) }, learned: learned)
        return ExampleSample(SampleTokens([.init(example)], isLearned: true), ByteTokenizer())
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

    /// As with NO_COLOR.
    @Test(arguments: [true, false]) func aTerminalWithoutStylesGetsMarks(isStyled: Bool) {
        final class Shown { var text = "" }
        let shown = Shown()
        let output = ProgressDisplay.Output(
            isStyled: isStyled, write: { shown.text += $0 }, writeBeside: { _ in })
        ProgressDisplay(style: .terminal(columns: { 80 }), totalSteps: 1, output: output)
            .show(sample("ask: yes!", 5..<8))
        #expect(shown.text.contains("ask: ⟦yes⟧!") == !isStyled)
        #expect(shown.text.contains("\u{1B}[2m") == isStyled)
    }

    /// An end right after an answer must be learned with it: the model would not learn to stop.
    @Test func anEndThatIsNotLearnedIsSaid() {
        func warning(_ text: String, _ learned: Range<Int>...) -> String? {
            let example = InstructionExample(line: 3, tokens: text.utf8.map { Int32($0) }, learned: learned)
            let sample = ExampleSample(
                SampleTokens([.init(example)], isLearned: true), ByteTokenizer(),
                ends: [Int32(UInt8(ascii: ";"))])
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
        let parts = (0..<5).map { $0 * 1000..<$0 * 1000 + 500 }
        let many = InstructionExample(
            line: 1, tokens: Array(repeating: Int32(UInt8(ascii: "x")), count: 5000), learned: parts)
        let long = ExampleSample(SampleTokens([.init(many)], isLearned: true), ByteTokenizer())
        #expect(long.lines(isTerminal: true).count < 2200 && long.lines(isTerminal: true).hasSuffix(" ..."))
    }

    /// A prompt of any length leaves room for the answer.
    @Test func aLongPromptDoesNotHideTheAnswer() {
        let shown = sample("begin" + String(repeating: "x", count: 5000) + "end: yes!", 5010..<5013)
            .lines(isTerminal: false)
        #expect(
            shown.count < 1000 && shown.contains("\nbegin") && shown.hasSuffix("xend: ⟦yes⟧!"), "\(shown)")
    }

    /// Each objective shows what counts; of a pair both answers.
    @Test(arguments: [
        (SmallExamples.Kind.dpo, ["line 1, chosen: 24", "line 1, rejected: ", "⟦yes, 0 of them", "⟦no"]),
        (.orpo, ["chosen", "rejected"]), (.kto, [", good: ", "⟦yes, 0 of them"]),
        (.grpo, [", advantage 1.00: "]),
        (.distill, ["sample  line 1: ", "in the loss; what is in it stands"]),
    ])
    func eachObjectiveShowsASample(kind: SmallExamples.Kind, words: [String]) throws {
        let form = try #require(kind.form)
        let options = SmallExamples.options(kind)
        let file = try SmallExamples.file(Array(SmallExamples.lines(form).prefix(1)), form)
        let stream = try ExampleStream(file, options, end: []) { $0.utf8.map { Int32($0) } }
        let sample = ExampleSample(try #require(stream.sample), ByteTokenizer())
        for word in words {
            #expect(sample.lines(isTerminal: false).contains(word), "\(sample.lines(isTerminal: false))")
        }
        #expect(sample.json.contains("\"answers\":[{\"kind\":\"chosen\"") == (form == .pairs))
    }
}
