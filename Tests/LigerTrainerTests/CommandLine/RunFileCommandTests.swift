import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Runs from a file, with the real command.
@Suite(.serialized) struct RunFileCommandTests {
    /// A printed file comes to the same run, bit for bit, and is printed again as it is.
    @Test func aPrintedFileIsTheSameRun() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let options = [
                "--betas", "0.8,0.9", "--no-rope", "--update-in-backward", "--sample", "--seed \"x\"\n: #",
                "--name", "no",
            ]
            let printed = try small.train(options + ["--print-config"])
            #expect(printed.status == 0 && printed.errors.isEmpty, "\(printed.errors)")
            #expect(!FileManager.default.fileExists(atPath: small.out))
            let file = "\(folder)/run.yaml"
            try write(printed.output, to: file)
            let again = try LigerProcess.run(["train", "--config", file, "--print-config"], in: folder)
            #expect(again.output == printed.output)

            #expect(try small.train(options).status == 0)
            let other = "\(folder)/other"
            let run = try LigerProcess.run(["train", "--config=\(file)", "--out", other], in: folder)
            #expect(run.status == 0, "\(run.errors)")
            #expect(try SmallRun.numbers(of: small.out) == SmallRun.numbers(of: other))
            try SmallRun.expectSameModels(small.out, other)
            var (first, second) = try (RunDirectory.record(at: small.out), RunDirectory.record(at: other))
            (first.options.out, second.options.out) = ("", "")
            #expect(first == second)
        }
    }

    /// Keys are the options of help, each once, with their defaults.
    @Test func everyOptionIsAKey() throws {
        try withTemporaryFolder { folder in
            let help = try LigerProcess.run(["train", "--help"], in: folder).output
            let named = help.matches(of: /(?m)^ {2}--([a-z-]+)/).map { String($0.1) }
            let file = try LigerProcess.run(["train", "--print-config"], in: folder).output
            let keys = file.matches(of: /(?m)^(?:# )?([a-z][a-z-]*): ?/).map { String($0.1) }
            let expected = Set(named).subtracting([
                "config", "print-config", "plan-only", "gpu-memory", "version",
            ])
            #expect(named.count > 60 && expected.isSubset(of: keys), "\(expected.subtracting(keys))")
            #expect(file.contains("\nlr: 0.001\n") && file.contains("\n# warmup: steps\n"))
            // Help names the default of these.
            #expect(file.contains("\n# loss-on: assistant\n") && file.contains("\n# over-length: cut\n"))
            let other = try LigerProcess.run(["train", "--learning-rate", "1e-4"], in: folder)
            #expect(other.status == 64 && other.errors.contains("'--learning-rate'; here it is --lr"))
            let value = try LigerProcess.run(
                ["train", "--sample", "--dataset", "--print-config"], in: folder)
            #expect(value.status == 0 && value.output.contains("\nsample: \"--dataset\"\n"))
            try write(file, to: "\(folder)/run.yaml")
            let again = try LigerProcess.run(
                ["train", "--config", "run.yaml", "--print-config"], in: folder, at: folder)
            #expect(again.output == file, "\(again.errors)")
        }
    }

    @Test func theCommandLineWins() throws {
        try withTemporaryFolder { folder in
            let text = "steps: 7\nlr: 0.5\nrope: true\npacking: false\nobjective: sft\ndata: a\n"
            try write(text, to: "\(folder)/run.yaml")
            let result = try LigerProcess.run(
                [
                    "train", "--config", "run.yaml", "--epochs", "2", "--lr=3e-4", "--no-rope",
                    "--print-config",
                ],
                in: folder, at: folder)
            #expect(result.status == 0, "\(result.errors)")
            for line in [
                "epochs: 2", "lr: 3e-4", "rope: false", "packing: false", "objective: sft", "# steps: steps",
            ] {
                #expect(result.output.contains("\n\(line)\n"), "\(line)")
            }
        }
    }

    @Test(arguments: [
        ("stepz: 3\n", "run.yaml, line 1: there is no option stepz; the nearest is steps."),
        ("lr: 1\n\nsteps: many\n", "run.yaml, line 3: The value 'many' is invalid for '--steps <steps>'"),
        ("memory-budget: 30 cows\n", "run.yaml, line 1: The value '30 cows' is invalid"),
        ("config: run.yaml\n", "line 1: there is no option config"),
        ("lr: 1\nsteps: 2\nlr: 2\n", "line 1: lr is given more than once"),
        ("steps: 3\nepochs: 3\n", "--steps is 3 and --epochs is 3"),
        ("beta: 0.5\n", "--beta has no meaning with --objective next-token"),
    ]) func refusesFiles(text: String, message: String) throws {
        try withTemporaryFolder { folder in
            try write(text, to: "\(folder)/run.yaml")
            let result = try LigerProcess.run(["train", "--config", "run.yaml"], in: folder, at: folder)
            #expect(result.status == 64 && result.output.isEmpty)
            #expect(result.errors.contains(message), "\(result.errors)")
        }
    }

    @Test(.timeLimit(.minutes(1))) func refusesWhatIsNoFile() throws {
        try withTemporaryFolder { folder in
            #expect(mkfifo("\(folder)/pipe", 0o600) == 0)
            try write(Array(repeating: 0x20, count: 300_000), to: "\(folder)/large")
            for (name, reason) in [
                ("none", "No such file"), ("pipe", "it is not a regular file"),
                (".", "it is not a regular file"),
                ("large", "it has 300000 bytes; a run file has 262144 at most"),
            ] {
                let result = try LigerProcess.run(["train", "--config", name], in: folder, at: folder)
                #expect(
                    result.status == 64 && result.errors.contains("Cannot read --config \(name): \(reason)"),
                    "\(result.errors)")
            }
        }
    }

    /// Scripts of each shell know the command and its newest options, and the shell can read its own.
    @Test(arguments: ["bash", "zsh", "fish"]) func completes(shell: String) throws {
        try withTemporaryFolder { folder in
            let script = try LigerProcess.run(["--generate-completion-script", shell], in: folder)
            #expect(script.status == 0)
            for word in ["train", "plot", "print-config", "patience"] {
                #expect(script.output.contains(word))
            }
            if shell == "bash" {
                try write(script.output, to: "\(folder)/liger.bash")
                let process = Process()
                process.executableURL = URL(fileURLWithPath: "/bin/bash")
                process.arguments = ["-n", "\(folder)/liger.bash"]
                try process.run()
                process.waitUntilExit()
                #expect(process.terminationStatus == 0)
            }
        }
    }
}
