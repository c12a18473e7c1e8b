import Foundation
import TestSupport
import Testing

/// Input that cannot be used, given to the real command: each gets its exit status, a message that names it,
/// and nothing that was there is lost.
@Suite(.serialized) struct BadInputTests {
    /// Usage errors end with 64, everything found out later with 1.
    @Test(arguments: [
        (["--model", "gigantic"], 1, "neither a preset nor a folder"),
        (["--data", "/no/such/text"], 1, "There is no file or folder /no/such/text"),
        (["--model", "maker/model"], 1, "Nothing is fetched from the Hub"),
        (["--data", "RUN"], 1, "is the output of a run"),
        (["--mix", "RUN"], 1, "is the output of a run"),
        (["--objective", "sft", "--data", "ARRAY"], 1, "it is one JSON array"),
        (["--objective", "sft", "--data", "ARRAY-IN-A-LINE"], 1, "it is one JSON array"),
        (["--sample", ""], 1, "--sample has no token"),
        (["--out", "bad\u{FFFD}"], 64, "which is not UTF-8"),
        (["--seq", "20000"], 1, "positions"),
        (["--seq", "4000", "--data", "SHORT"], 1, "has 5 tokens"),
        (["--data", "BINARY"], 1, "binary"),
        (["--out", "/proc/liger"], 1, "Cannot write"),
        (["--out", "SHORT"], 1, "not a folder"),
        (["--dtype", "f64"], 64, "f64"),
        (["--device", "abacus"], 64, "abacus"),
        (["--device", "cuda:99"], 1, "cuda:99"),
        (["--masters", "none"], 64, "--masters is none"),
        (["--recompute", "everything"], 64, "everything"),
        (["--model", "llama-3-8b", "--dtype", "bf16", "--seq", "9000"], 1, "positions"),
        (["--kernels", "triton"], 64, "triton"),
        (["--schedule", "wavy"], 64, "wavy"),
        (["--steps", "0", "--batch", "-1"], 64, "--batch"),
        (["--lr", "nan"], 64, "--lr"),
        (["--keep", "0"], 64, "--keep"),
        (["--no-such-option"], 64, "--no-such-option"),
    ])
    func refusesOptions(options: [String], status: Int, message: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            try write("short", to: "\(folder)/short")
            try write([0, 1, 2], to: "\(folder)/binary")
            try write("[\n{\"text\": \"a\"},\n{\"text\": \"b\"}\n]\n", to: "\(folder)/array")
            try write("[{\"text\": \"a\"}, {\"text\": \"b\"}]\n", to: "\(folder)/line")
            if options.contains("RUN") {
                #expect(try small.train(["--steps", "1"], out: "\(folder)/old").status == 0)
            }
            let places = [
                "SHORT": "\(folder)/short", "BINARY": "\(folder)/binary", "ARRAY": "\(folder)/array",
                "ARRAY-IN-A-LINE": "\(folder)/line",
                "RUN": "\(folder)/old",
            ]
            func files() throws -> [String: Data] {
                try SmallRun.contents(of: folder)
                    .filter { !$0.key.hasSuffix(".out") && !$0.key.hasSuffix(".err") }
            }
            let before = try files()
            let result = try small.train(options.map { places[$0] ?? $0 })
            #expect(Int(result.status) == status, "\(result.errors)")
            #expect(!result.wasKilled)
            #expect(result.errors.contains(message), "\(result.errors)")
            #expect(try files() == before)
        }
    }

    @Test(arguments: [
        (["bench", "--only", "RMSNormForward"], 64, "Give --kernels or --tune"),
        (["bench", "--rounds", "0"], 64, "--rounds"),
        (["verify", "--columns", "7000"], 64, "no row of the grid has 7000"),
        (["kernels", "NoSuchNorm"], 64, "There is no operation 'NoSuchNorm'"),
        (["kernels", "RMSNorm", "--target", "91"], 64, "There is no target 91"),
        (["kernels", "RMSNorm", "--target", "80"], 64, "--target is for --plan, --emit ptx and --emit llvm"),
        (["kernels", "--plan"], 64, "name an operation"),
        (["kernels", "RMSNorm", "--plan", "--emit", "ptx"], 64, "two forms"),
        (["kernels", "RMSNorm", "--pass", "memory"], 64, "Give --plan too"),
        (["kernels", "RMSNorm", "--plan", "--pass", "magic"], 64, "There is no pass 'magic'"),
    ])
    func refusesOptionsOfOtherCommands(arguments: [String], status: Int, message: String) throws {
        try withTemporaryFolder { folder in
            let result = try LigerProcess.run(arguments, in: folder)
            #expect(Int(result.status) == status, "\(result.errors)")
            #expect(result.errors.contains(message), "\(result.errors)")
        }
    }

    @Test func refusesThreadsThatAreNone() throws {
        try withTemporaryFolder { folder in
            let result = try SmallRun(in: folder).train(environment: ["LIGER_THREADS": "many"])
            #expect(result.status == 1)
            #expect(result.errors.contains("LIGER_THREADS is \"many\""))
        }
    }

    /// A model's folder whose weights are damaged in one way each.
    @Test func refusesDamagedModels() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"]).status == 0)
            let model = "\(small.out)/final"
            let weights = "\(model)/model.safetensors"
            let intact = try SmallRun.bytes(weights)
            let name = "model.norm.weight"
            let damages: [(change: () throws -> Void, message: String)] = [
                ({ try SafetensorsEditing.truncate(weights) }, "model.safetensors"),
                ({ try SafetensorsEditing.editHeader(weights) { $0[name]?["dtype"] = "I32" } }, "I32"),
                ({ try SafetensorsEditing.editHeader(weights) { $0[name]?["shape"] = [8, 8] } }, "[8, 8]"),
                (
                    {
                        try SafetensorsEditing.editHeader(weights) {
                            $0["other"] = $0.removeValue(forKey: name)
                        }
                    },
                    "no tensor of this name"
                ),
            ]
            for (change, message) in damages {
                try intact.write(to: URL(fileURLWithPath: weights))
                try change()
                let result = try small.train(["--model", model], out: "\(folder)/next")
                #expect(result.status == 1)
                #expect(!result.wasKilled)
                #expect(result.errors.contains(message), "\(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/next"))
            }
            try intact.write(to: URL(fileURLWithPath: weights))
            #expect(try small.train(["--model", model], out: "\(folder)/next").status == 0)
        }
    }

    /// A byte-pair tokenizer of 300 tokens beside a model of 256.
    @Test func refusesTokenizerBeyondTheModel() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"]).status == 0)
            let model = "\(small.out)/final"
            let vocabulary = (0..<300).map { "\"t\($0)\": \($0)" }.joined(separator: ", ")
            try write(
                """
                {"version": "1.0", "added_tokens": [], "normalizer": null,
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
                 "decoder": {"type": "ByteLevel"}, "post_processor": null,
                 "model": {"type": "BPE", "vocab": {\(vocabulary), \(Self.byteTokens)}, "merges": []}}
                """, to: "\(model)/tokenizer.json")
            let result = try small.train(["--model", model], out: "\(folder)/next")
            #expect(result.status == 1)
            #expect(result.errors.contains("the model only 256"), "\(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/next"))
        }
    }

    /// As Gemma 3's, which has a token for images: what text does not have needs no row.
    @Test func takesATokenizerWithAddedTokensBeyondTheModel() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"]).status == 0)
            let (model, out) = ("\(small.out)/final", "\(folder)/next")
            let bytes = Self.byteTokens(from: 0)
            try write(
                """
                {"version": "1.0", "normalizer": null, "added_tokens": [
                   {"id": 256, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true}],
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
                 "decoder": {"type": "ByteLevel"}, "post_processor": null,
                 "model": {"type": "BPE", "vocab": {\(bytes)}, "merges": []}}
                """, to: "\(model)/tokenizer.json")
            let trained = try small.train(["--model", model], out: out)
            #expect(trained.status == 0, "\(trained.errors)")
            let images = "\(folder)/images.txt"
            try write(
                String(repeating: "A row of numbers. <image> And another row, which is longer. ", count: 20),
                to: images)
            let message =
                "has the token \"<image>\", which is number 256 of the tokenizer, and the model has 256 tokens."
            for arguments in [
                small.arguments(
                    ["--model", model, "--data", images], out: "\(folder)/no"),
                ["evaluate", out, "--data", images], ["generate", out, "--prompt", "a <image>"],
            ] {
                let result = try LigerProcess.run(arguments, in: folder)
                #expect(result.status == 1 && result.errors.contains(message), "\(result.errors)")
            }
        }
    }

    /// A damaged newest checkpoint is passed over, and told; with none left nothing is begun again.
    @Test func passesOverDamagedCheckpoints() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            let options = ["--schedule", "constant", "--warmup", "2"]
            #expect(try small.train(options, out: whole).status == 0)
            #expect(try small.train(options + ["--steps", "8"]).status == 0)
            let newest = "\(small.out)/checkpoints/step-00000008"
            try SafetensorsEditing.truncate("\(newest)/optimizer.safetensors")
            let result = try small.train(options + ["--resume"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("step-00000008 is damaged and passed over"))
            #expect(result.output.contains("resumed after step 4"))
            try SmallRun.expectSameModels(whole, small.out)

            for step in ["08", "12"] {
                try SafetensorsEditing.truncate(
                    "\(small.out)/checkpoints/step-000000\(step)/model.safetensors")
            }
            let before = try SmallRun.contents(of: small.out)
            let refused = try small.train(options + ["--steps", "20", "--resume"])
            #expect(refused.status == 1)
            #expect(refused.errors.contains("No checkpoint"), "\(refused.errors)")
            let after = try SmallRun.contents(of: small.out)
            #expect(after.filter { $0.key != "run.json" } == before.filter { $0.key != "run.json" })
        }
    }

    /// Damage that leaves sizes alone, in each file of the newest checkpoint and in the final model: the run goes on from
    /// the one before, says so, and ends in the same bits.
    @Test(arguments: ["model.safetensors", "optimizer.safetensors", "config.json", "trainer.json", "final"])
    func goesOnFromBeforeSilentDamage(file: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let whole = "\(folder)/whole"
            let options = ["--schedule", "constant", "--warmup", "2"]
            #expect(try small.train(options, out: whole).status == 0)
            #expect(try small.train(options + (file == "final" ? [] : ["--steps", "8"])).status == 0)
            let newest = "\(small.out)/checkpoints/step-00000008"
            let path = file == "final" ? "\(small.out)/final/model.safetensors" : "\(newest)/\(file)"
            try Damage.middleBit.apply(to: path)
            let result = try small.train(options + ["--resume"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(
                result.output.contains(
                    file == "final"
                        ? "final is damaged and will be written again: model.safetensors is not what was written"
                        : "step-00000008 is damaged and passed over: \(file) is not what was written"),
                "\(result.output)")
            try SmallRun.expectSameModels(whole, small.out)
        }
    }

    /// Weights that are no numbers are the model's fault, not the rate's.
    @Test(arguments: [Float.nan, .infinity]) func refusesWeightsThatAreNoNumbers(value: Float) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"]).status == 0)
            let weights = "\(small.out)/final/model.safetensors"
            var bytes = try [UInt8](SmallRun.bytes(weights))
            for (index, byte) in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init).enumerated() {
                bytes[bytes.count - 4 + index] = byte
            }
            try write(bytes, to: weights)
            let result = try small.train(["--model", "\(small.out)/final"], out: "\(folder)/next")
            #expect(result.status == 1)
            #expect(result.errors.contains("found \(value) as element"), "\(result.errors)")
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/next"))
        }
    }

    @Test(.timeLimit(.minutes(2))) func aPipeInAFilesPlaceDoesNotHang() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "4"]).status == 0)
            for name in ["metrics.jsonl", "run.json"] {
                let path = "\(small.out)/\(name)"
                let before = try SmallRun.bytes(path)
                try FileManager.default.removeItem(atPath: path)
                #expect(mkfifo(path, 0o600) == 0)
                let result = try small.train(["--steps", "4", "--resume"])
                #expect(result.status == 1 && !result.wasKilled)
                #expect(result.errors.contains("\(name): it is not a regular file"), "\(result.errors)")
                try FileManager.default.removeItem(atPath: path)
                try before.write(to: URL(fileURLWithPath: path))
            }
        }
    }

    @Test func saysItsVersion() throws {
        try withTemporaryFolder { folder in
            let result = try LigerProcess.run(["--version"], in: folder)
            #expect(result.status == 0)
            #expect(result.output.wholeMatch(of: /[0-9]+\.[0-9]+\.[0-9]+(, built for debugging)?\n/) != nil)
        }
    }

    /// Checkpoints whose files have the right sizes and the wrong contents.
    @Test func refusesForeignCheckpoints() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = ["--schedule", "constant", "--warmup", "2"]
            #expect(try small.train(options + ["--steps", "4"]).status == 0)
            let checkpoint = "\(small.out)/checkpoints/step-00000004"
            let name = "exp_avg.model.norm.weight"
            let damages: [(file: String, change: (inout [String: [String: Any]]) -> Void, message: String)] =
                [
                    ("optimizer", { $0["other"] = $0.removeValue(forKey: name) }, "no tensor of this name"),
                    ("optimizer", { $0[name]?["dtype"] = "I32" }, "I32"),
                    ("optimizer", { $0[name]?["shape"] = [8, 8] }, "[8, 8]"),
                    ("model", { $0["model.norm.weight"]?["dtype"] = "U32" }, "U32"),
                ]
            for (file, change, message) in damages {
                let path = "\(checkpoint)/\(file).safetensors"
                let intact = try SmallRun.bytes(path)
                try SafetensorsEditing.editHeader(path, change)
                try SafetensorsEditing.seal(checkpoint)
                let before = try SmallRun.contents(of: small.out)
                let result = try small.train(options + ["--resume"])
                #expect(result.status == 1)
                #expect(result.errors.contains(message), "\(result.errors)")
                let after = try SmallRun.contents(of: small.out)
                #expect(after.filter { $0.key != "run.json" } == before.filter { $0.key != "run.json" })
                try intact.write(to: URL(fileURLWithPath: path))
            }
            try SafetensorsEditing.seal(checkpoint)
            #expect(try small.train(options + ["--resume"]).status == 0)
        }
    }

    /// A loss that is no number ends the run with the step, and keeps what was written.
    @Test func stopsAtLossesThatAreNoNumbers() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try small.train([
                "--lr", "1e20", "--clip", "0", "--save-every", "1", "--steps", "50", "--warmup", "0",
            ])
            #expect(result.status == 1)
            #expect(result.errors.contains("at step"), "\(result.errors)")
            #expect(result.errors.contains("training cannot go on"))
            let numbers = try SmallRun.numbers(of: small.out)
            #expect(!numbers.contains { $0.contains("NaN") || $0.contains("Infinity") })
            #expect(!FileManager.default.fileExists(atPath: "\(small.out)/final"))
        }
    }

    /// The 256 symbols of byte-level tokenizers; ids beyond the other tokens.
    private static var byteTokens: String { byteTokens(from: 300) }

    private static func byteTokens(from first: Int) -> String {
        var symbols = (33...126).map { $0 } + (161...172).map { $0 } + (174...255).map { $0 }
        symbols += (256..<256 + 68).map { $0 }
        return symbols.enumerated().map { index, scalar in
            let text = Unicode.Scalar(UInt32(scalar)).map(String.init) ?? ""
            let escaped = text == "\"" || text == "\\" ? "\\" + text : text
            return "\"\(escaped)\": \(first + index)"
        }.joined(separator: ", ")
    }
}
