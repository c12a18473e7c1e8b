import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// Adapters and what is made of them, with the real command.
@Suite(.serialized) struct AdapterCommandTests {
    private static let adapter = ["--lora-rank", "4", "--lora-dropout", "0.2", "--lr", "1e-2"]

    /// A small model in a folder, as a base, and a run of its adapter.
    private static func small(in folder: String, seed: UInt64 = 3) throws -> (SmallRun, [String]) {
        let small = try SmallRun(in: folder)
        try ModelSource("nano").model(seed: seed).save(to: URL(fileURLWithPath: folder + "/base"))
        return (small, adapter + ["--model", folder + "/base"])
    }

    private static func expectSame(_ first: String, _ second: String, _ comment: Comment? = nil) throws {
        let name = "/final/adapter_model.safetensors"
        let areSame = try SmallRun.bytes(first + name) == SmallRun.bytes(second + name)
        #expect(areSame, comment)
        #expect(try SmallRun.numbers(of: first) == SmallRun.numbers(of: second), comment)
    }

    @Test(arguments: [
        [], ["--dora", "--lora-dropout", "0"], ["--accumulate", "3", "--recompute", "blocks"],
    ])
    func killedRunsEndInTheSameBits(more: [String]) throws {
        try withTemporaryFolder { folder in
            let (small, adapter) = try Self.small(in: folder)
            let options = adapter + ["--steps", "40"] + more
            let whole = "\(folder)/whole"
            #expect(try small.train(options, out: whole).status == 0)
            var kills = 0
            for size in [900, 2200, 3400] {
                let process = try LigerProcess(small.arguments(options + ["--resume"]), in: folder)
                process.stop { FileSystem.byteCount(of: "\(small.out)/metrics.jsonl") ?? 0 > size }
                process.send(SIGKILL)
                if try process.wait().wasKilled { kills += 1 }
            }
            #expect(kills > 0)
            #expect(try small.train(options + ["--resume"]).status == 0)
            try Self.expectSame(whole, small.out, "\(kills) kills")
        }
    }

    /// Checkpoints hold no weights of the base, and go on with no other.
    @Test func goesOnWithItsBaseAlone() throws {
        try withTemporaryFolder { folder in
            let (small, options) = try Self.small(in: folder)
            #expect(try small.train(options).status == 0)
            let names = try FileManager.default.contentsOfDirectory(
                atPath: small.out + "/checkpoints/step-00000012")
            #expect(
                names.sorted() == [
                    "adapter_config.json", "adapter_model.safetensors", "base.json", "manifest.json",
                    "optimizer.safetensors", "trainer.json",
                ])
            try FileManager.default.removeItem(atPath: folder + "/base")
            let moved = try LigerProcess.run(["generate", small.out, "--prompt", "a"], in: folder)
            #expect(
                moved.status == 1 && moved.errors.contains("say where it is with --base"), "\(moved.errors)")
            try ModelSource("nano").model(seed: 4).save(to: URL(fileURLWithPath: folder + "/base"))
            let before = try SmallRun.contents(of: small.out)
            let result = try small.train(options + ["--resume"])
            #expect(result.status != 0 && result.errors.contains("the base's weights have changed"))
            #expect(try SmallRun.contents(of: small.out) == before)
        }
    }

    @Test func generatesEvaluatesAndMerges() throws {
        try withTemporaryFolder { folder in
            let (small, options) = try Self.small(in: folder)
            let sampled = try small.train(options + ["--sample", "the ", "--sample-every", "6"])
            #expect(sampled.status == 0)
            #expect(sampled.output.contains("sample after step 6: the "))
            // Samples change nothing.
            #expect(try small.train(options, out: folder + "/plain").status == 0)
            try Self.expectSame(folder + "/plain", small.out)

            func run(_ arguments: [String]) throws -> [String: Any] {
                let result = try LigerProcess.run(arguments, in: folder)
                #expect(result.status == 0, "\(result.errors)")
                return try #require(
                    JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
            }
            let merged = folder + "/merged"
            let merging = try LigerProcess.run(["merge", small.out, "--out", merged], in: folder)
            #expect(merging.status == 0 && merging.output.contains("are in \(merged)"))
            let twice = try LigerProcess.run(["merge", small.out, "--out", merged], in: folder)
            #expect(
                twice.status != 0 && twice.errors.contains("exists already; give the name of a new folder"))
            #expect(try LigerProcess.run(["merge", merged, "--out", folder + "/x"], in: folder).status != 0)

            let sources = [
                [small.out], [small.out + "/final"], [folder + "/base", "--adapter", small.out], [merged],
            ]
            let texts = try sources.map {
                try run(["generate"] + $0 + ["--prompt", "the kernel ", "--tokens", "20", "--json"])
            }
            #expect(Set(texts.map { $0["text"] as? String }).count == 1)
            #expect((texts[0]["tokens"] as? [Int])?.count == 20 && texts[0]["end"] as? String == "length")
            let streamed = try LigerProcess.run(
                ["generate", small.out, "--prompt", "the kernel ", "--tokens", "20"], in: folder)
            #expect(streamed.output == "the kernel \(texts[0]["text"] as? String ?? "")\n")

            let scores = try (sources + [[folder + "/base"]]).map {
                try run(
                    ["evaluate"] + $0 + ["--data", small.dataPath, "--seq", "50", "--batch", "3", "--json"])
            }
            let losses = scores.compactMap { $0["loss"] as? Double }
            #expect(losses.count == 5 && losses[..<4].allSatisfy { abs($0 - losses[0]) < 1e-5 })
            #expect(losses[4] > losses[0] + 0.1)
        }
    }

    /// The template that an adapter was trained with goes with it: into what is merged, into what is trained on, and to who
    /// evaluates. That of the base, and its templates for tools, are of another form.
    @Test func takesItsTemplateAlong() throws {
        try withTemporaryFolder { folder in
            let (small, options) = try Self.small(in: folder)
            let template =
                "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}"
                + "{% if add_generation_prompt %}[assistant]{% endif %}"
            try write(template, to: folder + "/given.jinja")
            try write("{% for m in messages %}other{% endfor %}", to: folder + "/base/chat_template.jinja")
            let tools = "/additional_chat_templates/tool_use.jinja"
            try write("other", to: folder + "/base" + tools)
            let chats = (0..<6).map {
                #"{"messages": [{"role": "user", "content": "\#($0)?"}, {"role": "assistant", "content": "yes"}]}"#
            }
            try write(chats.joined(separator: "\n"), to: folder + "/chats.jsonl")
            let sft = options + ["--objective", "sft", "--data", folder + "/chats.jsonl", "--seq", "64"]
            let first = try small.train(sft + ["--chat-template", folder + "/given.jinja"])
            #expect(first.status == 0, "\(first.errors)")
            #expect(
                try LigerProcess.run(["merge", small.out, "--out", folder + "/merged"], in: folder).status
                    == 0)

            let more = small.out + "-more"
            let second = try small.train(
                sft.filter { !Self.adapter.contains($0) } + ["--adapter", small.out, "--lr", "1e-2"],
                out: more)
            #expect(second.status == 0 && second.output.contains("[assistant]⟦yes;⟧"), "\(second.errors)")
            let score = try LigerProcess.run(
                ["evaluate", more, "--objective", "sft", "--data", folder + "/chats.jsonl"], in: folder)
            #expect(score.status == 0, "\(score.errors)")
            for place in [small.out + "/final", folder + "/merged", more + "/final"] {
                #expect(try text(of: place + "/chat_template.jinja") == template, "\(place)")
                #expect(!FileManager.default.fileExists(atPath: place + tools), "\(place)")
            }
        }
    }

    /// An adapter knows its base by its contents: elsewhere it is taken, another is refused, wherever it is asked for.
    @Test func isRefusedOnAnotherBase() throws {
        try withTemporaryFolder { folder in
            let (small, options) = try Self.small(in: folder)
            #expect(try small.train(options).status == 0)
            try FileManager.default.copyItem(atPath: folder + "/base", toPath: folder + "/copy")
            try ModelSource("nano").model(seed: 4).save(to: URL(fileURLWithPath: folder + "/other"))
            let adapter = small.out + "/final"
            func ways(_ base: String) -> [[String]] {
                [
                    ["generate", adapter, "--base", base, "--prompt", "a", "--tokens", "2"],
                    ["generate", base, "--adapter", adapter, "--prompt", "a", "--tokens", "2"],
                    ["evaluate", adapter, "--base", base, "--data", small.dataPath],
                    ["merge", adapter, "--base", base, "--out", base + "-merged"],
                    small.arguments(["--model", base, "--adapter", adapter], out: base + "-run"),
                ]
            }
            for way in ways(folder + "/copy") {
                let result = try LigerProcess.run(way, in: folder)
                #expect(result.status == 0, "\(way): \(result.errors)")
            }
            for way in ways(folder + "/other") {
                let result = try LigerProcess.run(way, in: folder)
                #expect(
                    result.status != 0 && result.errors.contains("was trained on the weights of"), "\(way)")
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/other-merged"))
            try write("{", to: adapter + "/base.json")
            let damaged = try LigerProcess.run(ways(folder + "/copy")[0], in: folder)
            #expect(damaged.status != 0 && damaged.errors.contains("does not say which weights"))
            // As PEFT's own adapters: nothing is known of their base.
            try FileManager.default.removeItem(atPath: adapter + "/base.json")
            for way in ways(folder + "/other") {
                let result = try LigerProcess.run(way, in: folder)
                #expect(result.status == 0, "\(way): \(result.errors)")
                let said = result.errors + result.output
                #expect(said.contains("has no base.json, so its base could not be compared with"), "\(said)")
                #expect(said.contains("Its base_model_name_or_path is "), "\(said)")
            }
            // As one whose base is on the Hub alone.
            let file = adapter + "/adapter_config.json"
            let text = try String(contentsOfFile: file, encoding: .utf8)
            try write(text.replacingOccurrences(of: folder + "/base", with: "maker/model"), to: file)
            let away = try LigerProcess.run(
                ["generate", adapter, "--prompt", "a", "--tokens", "2"], in: folder)
            #expect(away.status != 0)
            #expect(
                away.errors.contains("maker/model, by its base_model_name_or_path, which is no folder here"))
            #expect(away.errors.contains("--base"))
        }
    }

    /// Every token but the first once, whatever the sequences: against the formula in Double.
    @Test(arguments: [(50, 3), (64, 1), (128, 8)]) func evaluatesExactly(length: Int, batch: Int) throws {
        try withTemporaryFolder { folder in
            try write(String(repeating: "a tile of rows; ", count: 21) + "end", to: folder + "/text.txt")
            try ModelSource("nano").model(seed: 3).save(to: URL(fileURLWithPath: folder + "/base"))
            let model = try LoadedModel(folder + "/base", device: .cpu)
            let found = try model.score(Corpus(path: folder + "/text.txt"), length: length, batch: batch)
            let tokens = [UInt8](try SmallRun.bytes(folder + "/text.txt")).map { Int32($0) }
            var sum = 0.0
            for start in stride(from: 0, to: tokens.count - 1, by: length) {
                let ids = Array(tokens[start..<min(start + length, tokens.count - 1)])
                let logits = try model.decoder.logits(
                    NDArray(copying: ids, [1, ids.count], dtype: .i32, device: .cpu),
                    on: .init(recording: false)
                ).value.doubles
                for (place, _) in ids.enumerated() {
                    let row = logits[place * 256..<(place + 1) * 256]
                    let top = row.max() ?? 0
                    sum +=
                        top + log(row.reduce(0) { $0 + exp($1 - top) })
                        - row[place * 256 + Int(tokens[start + place + 1])]
                }
            }
            #expect(found.tokens == tokens.count - 1)
            #expect(abs(found.loss - sum / Double(found.tokens)) < 1e-6 * found.loss)
            #expect(abs(found.perplexity - exp(found.loss)) < 1e-9 * found.perplexity)
        }
    }

    /// What generate takes and a run cannot start from is refused with what to give in its place.
    @Test func runsStartFromModels() throws {
        try withTemporaryFolder { folder in
            try "A short text for a short run, twice over. ".write(
                toFile: folder + "/text.txt", atomically: true, encoding: .utf8)
            func train(_ model: String, _ out: String, _ more: String...) throws -> LigerProcess.Result {
                try LigerProcess.run(
                    [
                        "train", "--model", model, "--data", "text.txt", "--seq", "8", "--batch", "1",
                        "--steps", "1",
                        "--eval-fraction", "0", "--out", out,
                    ] + more, in: folder, at: folder)
            }
            let rate =
                "the default rate is for small models with new weights; for a checkpoint give --lr, usually "
            let first = try train("nano", "run")
            #expect(first.status == 0 && !first.output.contains(rate))
            #expect(first.output.contains("Done. The model is in run/final"))
            #expect(try train("run/final", "tuned", "--lr", "2e-5").output.contains(rate) == false)
            #expect(try train("run/final", "whole").output.contains(rate + "2e-5\n"))
            let lora = try train("run/final", "lora", "--lora-rank", "2")
            #expect(lora.status == 0 && lora.output.contains(rate + "2e-4\n"), "\(lora.output)")
            #expect(lora.output.contains("LoRA of rank 2, alpha 4, dropout 0, on all linear layers: "))
            #expect(lora.output.contains(/trained alone; \d\.\d% of the model's/))
            #expect(lora.output.contains("Done. The adapter is in lora/final"))
            #expect(lora.output.contains("`liger merge lora --out FOLDER` puts it into the model's weights."))
            // As generate and merge do, a run takes the folder of a run for its adapter.
            let more = try train("run/final", "more", "--adapter", "lora")
            #expect(more.status == 0, "\(more.errors)")
            let named = try train("run/final", "named", "--lora-rank", "2", "--lora-targets", "qproj")
            #expect(
                named.errors.contains(
                    "--lora-targets: the model has no layer \"qproj\". Give names of its linear layers, "))
            let (run, adapter) = (try train("run", "a"), try train("lora/final", "b"))
            #expect(
                run.status == 1 && run.errors.contains("Give the model in it: --model run/final."),
                "\(run.errors)")
            #expect(adapter.status == 1 && adapter.errors.contains("`liger merge lora/final --out merged`"))
        }
    }

    @Test(arguments: [
        (["generate", "nosuch", "--prompt", "a"], "nosuch does not exist"),
        (["generate", "tiny", "--prompt", "a"], "tiny is a preset, whose weights are random"),
        (["generate", "BASE", "--prompt", "a", "--top-k", "3"], "no meaning without --temperature"),
        (["generate", "BASE", "--prompt", "a", "--temperature", "-1"], "it must be at least 0"),
        (["generate", "BASE", "--prompt", "a", "--temperature", "1", "--top-p", "0"], "it must be above 0"),
        (["generate", "BASE", "--prompt", ""], "The prompt has no token"),
        (["generate", "BASE", "--prompt", "a", "--adapter", "nosuch"], "holds no adapter_config.json"),
        (["generate", "BASE", "--prompt", "a", "--base", "x"], "has weights of its own"),
        (["evaluate", "BASE", "--data", "nosuch"], "nosuch"),
        (["evaluate", "BASE", "--data", "BASE/config.json", "--seq", "5000"], "4096 positions"),
        (["merge", "BASE", "--out", "x"], "has no adapter"),
    ])
    func saysWhatIsWrong(arguments: [String], words: String) throws {
        try withTemporaryFolder { folder in
            try ModelSource("nano").model(seed: 3).save(to: URL(fileURLWithPath: folder + "/base"))
            let result = try LigerProcess.run(
                arguments.map { $0.replacingOccurrences(of: "BASE", with: folder + "/base") }, in: folder)
            #expect(result.status != 0 && result.errors.contains(words), "\(result.errors)")
        }
    }
}
