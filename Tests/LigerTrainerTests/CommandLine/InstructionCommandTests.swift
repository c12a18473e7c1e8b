import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Training on conversations with the real command.
@Suite(.serialized) struct InstructionCommandTests {
    /// With tags, and the day in front.
    private static let template = """
        {{- strftime_now('%d %b %Y') + '\\n' }}
        {%- for message in messages %}
        {{- message.role + ':' }}
        {%- if message.role == 'assistant' %}
        {%- generation %}{{ message.content + ';' }}{% endgeneration %}
        {%- else %}
        {{- message.content + ';' }}
        {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{ 'assistant:' }}{% endif %}
        """

    private static func message(_ role: String, _ text: String) -> String {
        #"{"role": "\#(role)", "content": "\#(text)"}"#
    }

    private static var chats: [String] {
        (0..<16).map { i in
            let turns = (0...(i % 3)).map { turn in
                message("user", "\(i) and \(turn)?") + ", "
                    + message("assistant", "it is \(i * i % 11 + turn)")
            }
            return #"{"messages": [\#(turns.joined(separator: ", "))]}"#
        }
    }

    private func arguments(in folder: String, out: String, _ more: [String] = []) throws -> [String] {
        try write(Self.chats.joined(separator: "\n"), to: "\(folder)/chats.jsonl")
        try write(Self.template, to: "\(folder)/chat.jinja")
        return [
            "train", "--objective", "sft", "--data", "\(folder)/chats.jsonl", "--chat-template",
            "\(folder)/chat.jinja", "--model", "nano", "--steps", "12", "--batch", "2", "--seq", "128",
            "--eval-fraction", "0.2", "--eval-every", "5", "--save-every", "4", "--out", out,
        ] + more
    }

    private func run(in folder: String, out: String, _ more: [String] = []) throws -> LigerProcess.Result {
        try LigerProcess.run(arguments(in: folder, out: out, more), in: folder)
    }

    @Test func showsASampleAndTheFillOfRows() throws {
        try withTemporaryFolder { folder in
            let day = ["--chat-date", "2026-07-31"]
            let result = try run(in: folder, out: "\(folder)/run", day)
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("13 examples to train on, 3 to evaluate"))
            #expect(
                result.output.contains(/packed into \d rows of 128, \d\d\.\d% filled; one a row would be/))
            #expect(
                result.output.contains(/sample  line \d+: \d+ tokens, \d+ of them learned; what is learned/))
            #expect(result.output.contains(/31 Jul 2026\nuser:\d+ and 0\?;assistant:⟦it is \d+;⟧/))
            let losses = try MetricsLog.read("\(folder)/run/metrics.jsonl").compactMap(\.loss)
            #expect(losses.count == 12 && losses[11] < losses[0])

            let json = try run(in: folder, out: "\(folder)/json", day + ["--json", "--steps", "1"])
            struct Line: Decodable {
                struct Sample: Decodable {
                    struct Part: Decodable { let learned: Bool; let text: String }
                    let line, tokens, learned: Int
                    let parts: [Part]
                }
                let sample: Sample
            }
            let first = Data(json.output.prefix { $0 != "\n" }.utf8)
            let sample = try JSONDecoder().decode(Line.self, from: first).sample
            #expect(sample.parts.map(\.text).joined().utf8.count == sample.tokens)
            #expect(sample.parts.filter(\.learned).map(\.text.utf8.count).reduce(0, +) == sample.learned)
        }
    }

    /// A plan shows the sample too, what is not learned of it, and what packed rows cost.
    @Test func aPlanShowsASample() throws {
        try withTemporaryFolder { folder in
            let gpu = ["--device", "cuda", "--plan-only", "--gpu-memory", "8GiB"]
            let plan = try run(in: folder, out: "\(folder)/run", gpu)
            #expect(plan.status == 0, "\(plan.errors)")
            #expect(plan.output.contains(/sample  line \d+: [^⟦]*⟦[^⟧]*⟧\n(.|\n)*assistant:⟦it is \d+;⟧/))
            #expect(
                plan.output.contains("took up to 12 GiB with attention by blocks, as packed rows have it"))
            let alone = try run(in: folder, out: "\(folder)/run", gpu + ["--no-packing"])
            #expect(alone.output.contains("took up to 4 GiB\n") && !alone.output.contains("12 GiB"))
            let json = try run(in: folder, out: "\(folder)/run", gpu + ["--json"])
            let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
            #expect(object?["plan"] != nil && (object?["sample"] as? [String: Any])?["parts"] != nil)
        }
    }

    /// Killed after a checkpoint, in the middle of steps; and the day is the one on which the run began.
    @Test(arguments: [[], ["--no-packing", "--accumulate", "2"]]) func killedAndResumed(more: [String]) throws
    {
        try withTemporaryFolder { folder in
            let (whole, out, more) = ("\(folder)/whole", "\(folder)/run", more + ["--steps", "40"])
            let day = ["--chat-date", "2001-02-03"]
            #expect(try run(in: folder, out: whole, more + day).status == 0)
            let process = try LigerProcess(arguments(in: folder, out: out, more + day), in: folder)
            process.stop {
                let names = try? FileManager.default.contentsOfDirectory(atPath: "\(out)/checkpoints")
                return names?.contains { $0.hasPrefix("step-") && !$0.contains(".partial") } ?? false
            }
            process.send(SIGKILL)
            #expect(try process.wait().wasKilled)
            let resumed = try run(in: folder, out: out, more + ["--resume"])
            #expect(resumed.status == 0 && resumed.output.contains("resumed after step"), "\(resumed.errors)")
            let numbers = try SmallRun.numbers(of: whole)
            #expect(numbers.count > 40)
            #expect(try SmallRun.numbers(of: out) == numbers)
            try SmallRun.expectSameModels(whole, out)

            // Options are compared before data, which is none of this objective's; and what follows from it is left out.
            if !more.contains("--no-packing") {
                let other = try run(in: folder, out: out, more + ["--objective", "dpo", "--resume"])
                #expect(other.status == 1 && other.errors.contains("  --objective was sft, is dpo"))
                #expect(!other.errors.contains("--packing was") && !other.errors.contains("Each line must"))
            }
            let changes = [
                (["--loss-on", "all"], "--loss-on was assistant, is all"),
                (["--chat-date", "2001-02-04"], "--chat-date was 2001-02-03, is 2001-02-04"),
                (["--over-length", "drop"], "--over-length was cut, is drop"),
                (["--packing"], "--packing was false, is true"),
            ]
            for (change, message) in changes.prefix(more.contains("--no-packing") ? 4 : 3) {
                let refused = try run(in: folder, out: out, more + change + ["--resume"])
                #expect(refused.status == 1 && refused.errors.contains(message), "\(refused.errors)")
            }
        }
    }

    @Test func refusesWhatCannotBeUsed() throws {
        try withTemporaryFolder { folder in
            let cases: [(more: [String], status: Int32, message: String)] = [
                (["--graph", "--device", "cuda"], 64, "give --no-packing"),
                (
                    ["--attention", "flash", "--device", "cuda", "--dtype", "bf16"], 64,
                    "--attention flash cannot"
                ),
                (["--chat-date", "2026-02-30"], 64, "--chat-date is 2026-02-30"),
                (["--objective", "next-token"], 64, "--chat-template has no meaning"),
                (["--objective", "dpo", "--packing"], 64, "--packing has no meaning with --objective dpo"),
                (["--beta", "0.2"], 64, "--beta has no meaning with --objective sft"),
                (["--chat-template", "\(folder)/none"], 1, "none"),
                (["--seq", "16", "--over-length", "refuse"], 1, "line 1: the example has"),
            ]
            for (more, status, message) in cases {
                let result = try run(in: folder, out: "\(folder)/refused", more)
                #expect(result.status == status, "\(more): \(result.errors)")
                #expect(result.errors.contains(message), "\(more): \(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/refused"))
            }
            let plain = try LigerProcess.run(
                [
                    "train", "--model", "nano", "--data", "\(folder)/chats.jsonl", "--out",
                    "\(folder)/refused",
                ], in: folder)
            #expect(plain.status == 1 && plain.errors.contains("Give --objective sft"), "\(plain.errors)")
            #expect(plain.errors.contains("takes text as it stands"))
        }
    }

    /// The template that was given goes with the model, which is asked in it.
    @Test func aTrainedModelIsAskedInItsTemplate() throws {
        try withTemporaryFolder { folder in
            let out = "\(folder)/run"
            #expect(try run(in: folder, out: out, ["--steps", "2"]).status == 0)
            #expect(try text(of: "\(out)/final/chat_template.jinja") == Self.template)
            let question = ["generate", out, "--prompt", "hi", "--tokens", "4"]
            let chat = try LigerProcess.run(
                question + ["--chat", "--system", "s", "--json"], in: folder)
            #expect(chat.status == 0, "\(chat.errors)")
            struct Answer: Decodable { let prompt: String; let tokens: [Int] }
            let answer = try JSONDecoder().decode(Answer.self, from: Data(chat.output.utf8))
            #expect(answer.prompt.hasSuffix("\nsystem:s;user:hi;assistant:") && answer.tokens.count == 4)
            let shown = try LigerProcess.run(question + ["--chat"], in: folder)
            #expect(shown.status == 0 && !shown.output.contains("user:"))

            #expect(try LigerProcess.run(question + ["--system", "s"], in: folder).status == 64)
            #expect(try LigerProcess.run(question + ["--seed", "1"], in: folder).status == 64)
            // The end of an answer may stand in generation_config.json alone.
            let end = answer.tokens[2]
            try write(#"{"eos_token_id": [255, \#(end)]}"#, to: "\(out)/final/generation_config.json")
            let ended = try LigerProcess.run(
                question + ["--chat", "--system", "s", "--json"], in: folder)
            #expect(
                try JSONDecoder().decode(Answer.self, from: Data(ended.output.utf8)).tokens
                    == Array(answer.tokens.prefix { $0 != end }), "\(ended.errors)")
            try FileManager.default.removeItem(atPath: "\(out)/final/chat_template.jinja")
            let bare = try LigerProcess.run(
                ["generate", "\(out)/final", "--prompt", "hi", "--chat"], in: folder)
            #expect(bare.status == 1 && bare.errors.contains("has no chat template"), "\(bare.errors)")
        }
    }

    /// Strings are used as they stand, also where a template is given; that is said.
    @Test(arguments: [SmallExamples.Kind.sft, .dpo]) func aTemplateThatWritesNothingIsNamed(
        kind: SmallExamples.Kind
    ) throws {
        try withTemporaryFolder { folder in
            let form = try #require(kind.form)
            try write(SmallExamples.lines(form).joined(separator: "\n"), to: "\(folder)/strings.jsonl")
            let words = ["--objective", kind.rawValue, "--steps", "1", "--data"]
            let strings = try run(in: folder, out: "\(folder)/run", words + ["\(folder)/strings.jsonl"])
            #expect(
                strings.status == 0
                    && strings.output.contains(
                        "chat.jinja writes nothing: no line of \(folder)/strings.jsonl has messages"),
                "\(strings.output) \(strings.errors)")
            if kind == .sft {
                let chats = try run(in: folder, out: "\(folder)/chats", ["--steps", "1"])
                #expect(chats.status == 0 && !chats.output.contains("writes nothing"))
            }
        }
    }

    /// Preferences are written by the template too.
    @Test func pairsMayBeMessages() throws {
        try withTemporaryFolder { folder in
            let lines = (0..<6).map { i in
                let ask = Self.message("user", "\(i)?")
                let (yes, no) = (Self.message("assistant", "yes \(i)"), Self.message("assistant", "no"))
                return #"{"prompt": [\#(ask)], "chosen": [\#(yes)], "rejected": [\#(no)]}"#
            }
            try write(lines.joined(separator: "\n"), to: "\(folder)/pairs.jsonl")
            let result = try run(
                in: folder, out: "\(folder)/run",
                ["--objective", "dpo", "--data", "\(folder)/pairs.jsonl", "--chat-date", "2026-07-31"])
            #expect(
                result.output.contains(
                    /sample  line \d, chosen: \d+ tokens, \d+ in the loss; what .*\n31 Jul 2026\nuser:\d\?;assistant:⟦yes \d;⟧\n/
                )
                    && result.output.contains(/line \d, rejected: .*\n31 Jul 2026\n.*⟦no;⟧\n/),
                "\(result.output)")
            #expect(
                result.status == 0 && result.output.contains("5 pairs to train on, 1 to evaluate"),
                "\(result.output) \(result.errors)")
        }
    }
}
