import Foundation
import LigerRuntime
import LigerText
import LigerTrainer
import TestSupport
import Testing

@Suite struct ExampleFileTests {
    private static let good = #"{"prompt": "a", "chosen": "b", "rejected": "c"}"#

    @Test func readsEveryForm() throws {
        let pairs = try SmallExamples.file(
            ["", Self.good, " \t\r", #"{"rejected":"ü\n","id":[1],"prompt":"","chosen":"b"}"#], .pairs)
        #expect(pairs.examples.map(\.line) == [2, 4])
        #expect(pairs.examples[1].answers == [.text("b"), .text("ü\n")])
        #expect(pairs.examples[1].prompt == .text(""))
        let judged = try SmallExamples.file(
            [#"{"prompt": "a", "completion": "b", "label": false}"#], .judged)
        #expect(judged.examples[0].isGood == false && judged.examples[0].answers == [.text("b")])
        let rated = try SmallExamples.file(
            [#"{"prompt": "a", "completions": ["b", "c"], "rewards": [1, -0.5]}"#], .rated)
        #expect(
            rated.examples[0].answers == [.text("b"), .text("c")] && rated.examples[0].rewards == [1, -0.5])
        let texts = try SmallExamples.file(
            [#"{"text": "a"}"#, #"{"prompt": "a", "completion": "b"}"#], .texts)
        #expect(texts.examples.map(\.prompt) == [.text(""), .text("a")])
        #expect(texts.examples.map(\.answers) == [[.text("a")], [.text("b")]])
    }

    /// Tables that became lines have every column in every line.
    @Test func nullIsNothing() throws {
        let turns = #"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]"#
        let rows = try SmallExamples.file(
            [
                #"{"messages": null, "prompt": "a", "completion": "b", "text": null}"#,
                #"{"messages": \#(turns), "prompt": null, "completion": null, "text": null}"#,
                #"{"messages": null, "prompt": null, "completion": null, "text": "a"}"#,
            ], .instructions)
        #expect(rows.examples[0].prompt == .text("a") && rows.examples[0].answers == [.text("b")])
        #expect(rows.examples[1].prompt == .messages([]))
        #expect(rows.examples[2].prompt == .text("") && rows.examples[2].answers == [.text("a")])
        let texts = try SmallExamples.file([#"{"text": null, "prompt": "a", "completion": "b"}"#], .texts)
        #expect(texts.examples[0].prompt == .text("a"))
    }

    /// A prompt and its answers may be lists of messages; a prompt may also be what both answers begin with.
    @Test func readsMessages() throws {
        func message(_ role: String, _ text: String) -> String {
            #"{"role": "\#(role)", "content": "\#(text)"}"#
        }
        let (ask, yes, no) = (message("user", "a"), message("assistant", "y"), message("assistant", "n"))
        let pairs = try SmallExamples.file(
            [
                #"{"prompt": [\#(ask)], "chosen": [\#(yes)], "rejected": [\#(no)]}"#,
                #"{"chosen": [\#(ask), \#(yes)], "rejected": [\#(ask), \#(no)]}"#,
                #"{"prompt": "a", "chosen": [\#(ask), \#(yes)], "rejected": [\#(ask), \#(no)]}"#,
            ], .pairs)
        for example in pairs.examples {
            #expect(example.prompt == pairs.examples[0].prompt)
            #expect(example.answers == pairs.examples[0].answers && example.answers[0] != example.answers[1])
        }
        // Answers that are equal, or one of which goes on, keep their last message, as TRL has it.
        let equal = try SmallExamples.file(
            [#"{"chosen": [\#(ask), \#(yes)], "rejected": [\#(ask), \#(yes)]}"#], .pairs)
        #expect(equal.examples[0].prompt == pairs.examples[0].prompt)
        #expect(equal.examples[0].answers == Array(repeating: pairs.examples[0].answers[0], count: 2))
        let chats = try SmallExamples.file(
            [
                #"{"messages": [\#(ask), \#(yes)], "tools": [{}], "chat_template_kwargs": {"x": 1}}"#,
                #"{"prompt": [\#(ask)], "completion": [\#(yes)], "tools": null}"#,
            ], .instructions)
        #expect(chats.examples[0].prompt == .messages([]))
        #expect(chats.examples[0].setting.tools?.count == 1)
        #expect(chats.examples[0].setting.variables == ["x": .integer(1)])
        #expect(chats.examples[1].setting.tools == nil)
        guard case .messages(let messages) = chats.examples[0].answers[0] else {
            Issue.record("a conversation is messages")
            return
        }
        #expect(messages.count == 2)
    }

    private static let faults: [(form: ExampleFile.Form, line: String, message: String)] = [
        // Both forms of a pair, also for who gave conversations.
        (
            .pairs, #"{"messages": []}"#,
            #"or with messages {"prompt": [{"role": "user", "content": "..."}], "chosen""#
        ),
        (
            .instructions, #"{"conversations": [{"from": "human", "value": "a"}]}"#,
            "line 2 is in ShareGPT's form (\"conversations\" with \"from\" and \"value\"), which is not read. Convert it: "
                + "python -c \"import json"
        ),
        (
            .instructions, #"{"instruction": "a", "input": "", "output": "b"}"#,
            "line 2 is in Alpaca's form (\"instruction\", \"input\" and \"output\"), which is not read. Convert it: "
                + "python -c \"import json"
        ),
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
            #"line 2: of "chosen" and "rejected" one is a string and one a list of messages"#
        ),
        (.pairs, "[]", "line 2 is a list of 0, not an object."),
        (.pairs, good + " " + good, "line 2, byte 48: found '{', expected nothing after the value."),
        (.pairs, #"{"prompt": "a", "prompt": "b"}"#, "found the key \"prompt\" a second time"),
        (.pairs, #"{"prompt": "a"#, "found a string without an end"),
        (.pairs, String(repeating: "[", count: 100_000), "deeper nesting"),
        (.rated, #"{"prompt": "a", "completions": ["b", "c"]}"#, #"line 2 has no "rewards", a list"#),
        (
            .rated, #"{"prompt": "a", "completions": "b", "rewards": [1]}"#,
            #""completions" is "b", not a list"#
        ),
        (.rated, #"{"prompt": "a", "completions": ["b"], "rewards": [1]}"#, #""completions" has 1 of them"#),
        (
            .rated, #"{"prompt": "a", "completions": ["b", "c"], "rewards": [1, 2, 3]}"#,
            #""completions" has 2 of them, "rewards" 3; give each its own"#
        ),
        (
            .rated, #"{"prompt": "a", "completions": ["b", "c"], "rewards": [1, true]}"#,
            #""rewards[1]" is true, not a finite number"#
        ),
        (
            .rated, #"{"prompt": "a", "completions": ["b", ""], "rewards": [1, 2]}"#,
            #"line 2: "completions[1]" is empty"#
        ),
        (
            .rated, #"{"prompt": "a", "completions": ["b", [{"role": "assistant"}]], "rewards": [1, 2]}"#,
            #"of "prompt" and "completions[1]" one is a string and one a list of messages"#
        ),
        (.judged, #"{"prompt": "a", "completion": "b"}"#, #"line 2 has no "label""#),
        (
            .judged, #"{"prompt": "a", "completion": "b", "label": 1}"#, #""label" is 1, not true or false."#
        ),
        (.texts, #"{"text": 1.5}"#, #""text" is 1.5, not a string."#),
        (.texts, #"{"prompt": "a"}"#, #"line 2 has no "completion""#),
        (.instructions, #"{"messages": []}"#, #"line 2: "messages" has no messages"#),
        (.instructions, #"{"messages": "a"}"#, #""messages" is "a", not a list of messages"#),
        (.instructions, #"{"messages": [3]}"#, #"element 1 of "messages" is 3, not an object"#),
        (
            .instructions, #"{"messages": [{"role": "user"}, {"from": "human"}]}"#,
            #"message 2 of "messages" has no "role""#
        ),
        (
            .instructions, #"{"messages": [{"role": "user"}], "tools": ["a"]}"#,
            #"element 1 of "tools" is "a", not an object"#
        ),
        (
            .instructions, #"{"messages": [{"role": "user"}], "chat_template_kwargs": 1}"#,
            #""chat_template_kwargs" is 1, not an object"#
        ),
        (
            .pairs, #"{"chosen": [{"role": "user"}], "rejected": [{"role": "assistant"}]}"#,
            "do not begin with one that they share"
        ),
        (
            .pairs,
            #"{"prompt": "a", "chosen": [{"role": "u", "content": "b"}, {"role": "x"}], "rejected": "#
                + #"[{"role": "u", "content": "b"}, {"role": "y"}]}"#,
            #""prompt" is not the last message that "chosen" and "rejected" share"#
        ),
        (
            .judged, #"{"prompt": "a", "completion": [{"role": "x"}], "label": true}"#,
            #"of "prompt" and "completion" one is a string"#
        ),
    ]

    @Test(arguments: faults.indices) func eachFaultIsNamedWithItsLine(index: Int) throws {
        let fault = Self.faults[index]
        let first = SmallExamples.lines(fault.form, count: 1)
        let error = #expect(throws: TrainerError.self) {
            try SmallExamples.file(first + [fault.line], fault.form)
        }
        #expect(error?.kind == .dataMalformed)
        #expect(error?.problem.contains("examples.jsonl, line 2") == true, "\(error?.problem ?? "")")
        #expect(error?.description.contains(fault.message) == true, "\(error?.problem ?? "")")
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

    /// Of a large file nothing is held: it is read again, line by line, with the same faults.
    @Test(arguments: [ExampleFile.Form.pairs, .judged, .texts, .instructions])
    func largeFilesAreReadLineByLine(_ form: ExampleFile.Form) throws {
        let options = SmallExamples.options(form == .instructions ? .sft : .orpo)
        let model = try TrainingModel(ModelDescription(options), options, device: .cpu)
        try withTemporaryFolder { folder in
            let path = folder + "/examples.jsonl"
            func batches(limit: Int) throws -> any BatchStream {
                try model.batches(of: ExampleFile(path: path, form: form, limit: limit), options)
            }
            let lines = SmallExamples.lines(form)
            for text in [
                lines.joined(separator: "\n"), "\u{FEFF}\r\n" + lines.joined(separator: "\n\n") + "\n",
            ] {
                try write(text, to: path)
                let (small, large) = (try batches(limit: 1 << 20), try batches(limit: 1))
                #expect(small.fingerprint == large.fingerprint && small.tokenCount == large.tokenCount)
                #expect(small.batch(step: 3, part: 0) == large.batch(step: 3, part: 0))
            }
            for text in [lines[0] + "\n{\"prompt\": 3}", "", "\n \n", lines[0] + "\n{\"text\": \"\u{0}"] {
                try write(text, to: path)
                let small = #expect(throws: TrainerError.self) { try batches(limit: 1 << 20) }
                let large = #expect(throws: TrainerError.self) { try batches(limit: 1) }
                #expect(small == large && small != nil, "\(String(describing: large))")
            }
            try write(lines.joined(separator: "\n"), to: path)
            let file = try ExampleFile(path: path, form: form, limit: 1)
            try write(lines.reversed().joined(separator: "\n"), to: path)
            let changed = #expect(throws: TrainerError.self) { try model.batches(of: file, options) }
            #expect(changed?.problem.contains("was changed while it was read") == true)
        }
    }

    /// One bad byte is named with its line and place; other encodings, and what is no file, are refused.
    @Test func badBytesAreNamedWithTheirPlace() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/examples.jsonl"
            for limit in [1, 1 << 20] {
                try write(Array((Self.good + "\n{\"prompt\": \"a").utf8) + [0xE9, 0x22, 0x7D], to: path)
                let byte = #expect(throws: TrainerError.self) {
                    try ExampleFile(path: path, form: .pairs, limit: limit).readAll()
                }
                #expect(
                    byte?.problem.contains("examples.jsonl, line 2, byte 13") == true,
                    "\(byte?.problem ?? "")")
                try write([0xFF, 0xFE] + Self.good.utf8.flatMap { [$0, 0] }, to: path)
                let wide = #expect(throws: TrainerError.self) {
                    try ExampleFile(path: path, form: .pairs, limit: limit).readAll()
                }
                #expect(wide?.problem.contains("line 1") == true, "\(wide?.problem ?? "")")
            }
            #expect(mkfifo(folder + "/pipe", 0o600) == 0)
            let pipe = #expect(throws: TrainerError.self) {
                try ExampleFile(path: folder + "/pipe", form: .pairs)
            }
            #expect(pipe?.problem.contains("/pipe is not a file") == true)
        }
    }
}
