import LigerTrainer
import TestSupport
import Testing

@Suite struct ExampleFileTests {
    private static let good = #"{"prompt": "a", "chosen": "b", "rejected": "c"}"#

    @Test func readsEveryForm() throws {
        let pairs = try SmallExamples.file(
            ["", Self.good, " \t\r", #"{"rejected":"ü\n","id":[1],"prompt":"","chosen":"b"}"#], .pairs)
        #expect(pairs.examples.map(\.line) == [2, 4])
        #expect(pairs.examples[1].answers == ["b", "ü\n"] && pairs.examples[1].prompt.isEmpty)
        let judged = try SmallExamples.file(
            [#"{"prompt": "a", "completion": "b", "label": false}"#], .judged)
        #expect(judged.examples[0].isGood == false && judged.examples[0].answers == ["b"])
        let texts = try SmallExamples.file(
            [#"{"text": "a"}"#, #"{"prompt": "a", "completion": "b"}"#], .texts)
        #expect(texts.examples.map(\.prompt) == ["", "a"])
        #expect(texts.examples.map(\.answers) == [["a"], ["b"]])
    }

    private static let faults: [(form: ExampleFile.Form, line: String, message: String)] = [
        (
            .pairs, #"{"prompt": "a", "chosen": "b"}"#,
            #"line 2 has no "rejected"; it has "chosen", "prompt"."#
        ),
        (
            .pairs, #"{"prompt": "a", "chosen": "b", "rejected": 3}"#,
            #"line 2: "rejected" is 3, not a string."#
        ),
        (.pairs, #"{"prompt": null, "chosen": "b", "rejected": "c"}"#, #""prompt" is null, not a string."#),
        (.pairs, #"{"prompt": "a", "chosen": "", "rejected": "c"}"#, #"line 2: "chosen" is empty"#),
        (
            .pairs, #"{"prompt": "a", "chosen": [{"role": "user"}], "rejected": "c"}"#,
            #"line 2: "chosen" is a list of messages"#
        ),
        (.pairs, "[]", "line 2 is a list of 0, not an object."),
        (.pairs, good + " " + good, "line 2, byte 48: found '{', expected nothing after the value."),
        (.pairs, #"{"prompt": "a", "prompt": "b"}"#, "found the key \"prompt\" a second time"),
        (.pairs, #"{"prompt": "a"#, "found a string without an end"),
        (.pairs, String(repeating: "[", count: 100_000), "deeper nesting"),
        (.judged, #"{"prompt": "a", "completion": "b"}"#, #"line 2 has no "label""#),
        (
            .judged, #"{"prompt": "a", "completion": "b", "label": 1}"#, #""label" is 1, not true or false."#
        ),
        (.texts, #"{"text": 1.5}"#, #""text" is 1.5, not a string."#),
        (.texts, #"{"prompt": "a"}"#, #"line 2 has no "completion""#),
    ]

    @Test(arguments: faults.indices) func eachFaultIsNamedWithItsLine(index: Int) throws {
        let fault = Self.faults[index]
        let first = SmallExamples.lines(fault.form, count: 1)
        let error = #expect(throws: TrainerError.self) {
            try SmallExamples.file(first + [fault.line], fault.form)
        }
        #expect(error?.kind == .dataMalformed)
        #expect(error?.problem.contains("examples.jsonl, line 2") == true, "\(error?.problem ?? "")")
        #expect(error?.problem.contains(fault.message) == true, "\(error?.problem ?? "")")
    }

    @Test func filesThatHoldNothing() throws {
        try withTemporaryFolder { folder in
            try write("\n \n", to: "\(folder)/blank")
            try write([0x7B, 0x22, 0xFF, 0x22, 0x7D], to: "\(folder)/bytes")
            let expected: [(path: String, kind: TrainerError.Kind)] = [
                ("blank", .dataEmpty), ("bytes", .dataMalformed), ("absent", .dataNotFound),
                (".", .dataUnreadable),
            ]
            for (path, kind) in expected {
                let error = #expect(throws: TrainerError.self, "\(path)") {
                    try ExampleFile(path: "\(folder)/\(path)", form: .pairs)
                }
                #expect(error?.kind == kind, "\(path)")
            }
        }
    }
}
