import Foundation
import LigerTrainer
import Platform
import TestSupport
import Testing

/// Standard streams that are closed or full, and paths that are not what they look like.
@Suite(.serialized) struct StreamTests {
    /// As a service may start it. What is meant for a terminal must not end up in the run's files.
    @Test(arguments: ["<&- >&- 2>&-", ">&-", "<&- >&-", ">&- 2>&-"])
    func closedStreamsAreNotTheFilesOfARun(redirections: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            #expect(try small.train(["--steps", "1"]).status == 0)
            // A model's files stay open, and so take the first numbers that are free.
            let model = ["--model", "\(small.out)/final"]
            let (closed, open) = ("\(folder)/closed", "\(folder)/open")
            let result = try LigerProcess.run(
                small.arguments(model, out: closed), in: folder, redirections: redirections)
            #expect(result.status == 0)
            let lines = try String(contentsOfFile: "\(closed)/metrics.jsonl", encoding: .utf8)
            #expect(lines.split(separator: "\n").allSatisfy { $0.hasPrefix("{") }, "\(lines)")
            #expect(try small.train(model, out: open).status == 0)
            #expect(try SmallRun.numbers(of: closed) == SmallRun.numbers(of: open))
            try SmallRun.expectSameModels(closed, open)
        }
    }

    @Test func aReaderThatGoesAwayDoesNotEndARun() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            _ = try LigerProcess.run(
                small.arguments(["--steps", "300", "--json"]), in: folder, redirections: "| head -n 2")
            let steps = try SmallRun.numbers(of: small.out)
            #expect(steps.last?.contains("\"step\":300") == true, "\(steps.last ?? "")")
            #expect(FileManager.default.fileExists(atPath: "\(small.out)/final/model.safetensors"))
        }
    }

    /// The device that is always full. A run's results are in its folder, whoever reads along.
    @Test(.enabled(if: !System.isMac, "a Mac has no /dev/full")) func whatIsPrintedToAFullDiskIsAFailure()
        throws
    {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let full = { (arguments: [String]) in
                try LigerProcess.run(arguments, in: folder, redirections: ">/dev/full")
            }
            #expect(try full(small.arguments()).status == 0)
            for arguments in [
                ["evaluate", small.out, "--data", small.dataPath], ["kernels"],
                ["generate", small.out, "--prompt", "the", "--tokens", "3"],
            ] {
                let result = try full(arguments)
                #expect(result.status == 1, "\(arguments)")
                #expect(
                    result.errors.contains("could not be written to standard output"), "\(result.errors)")
            }
        }
    }

    /// It can draw no line again.
    @Test(.enabled(if: !System.isMac, "its script has other options"), arguments: ["dumb", ""])
    func aPlainTerminalGetsPlainLines(term: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            // `script` gives a terminal.
            let line = ([try LigerProcess.executable().path] + small.arguments()).joined(separator: " ")
            let (script, log) = (Process(), "\(folder)/log")
            script.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            script.arguments = ["TERM=\(term)", "script", "-qc", line, log]
            script.standardOutput = FileHandle.nullDevice
            script.standardInput = FileHandle.nullDevice
            try script.run()
            script.waitUntilExit()
            let shown = try String(contentsOfFile: log, encoding: .utf8)
            #expect(shown.contains("step 12/12  loss"), "\(shown)")
            #expect(!shown.contains("\u{1B}["))
        }
    }

    @Test func aHomeThatTheShellDidNotExpandIsRefused() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            for arguments in [
                small.arguments(["--out=~/run"]), small.arguments(["--data=~/run"]),
                ["plot", small.out, "--out=~/curves.svg"], ["merge", small.out, "--out=~/merged"],
            ] {
                let result = try LigerProcess.run(arguments, in: folder, at: folder)
                #expect(result.status == 64, "\(arguments)")
                #expect(result.errors.contains("~ is expanded by the shell alone"), "\(result.errors)")
            }
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/~"))
        }
    }

    /// `link/..` is the folder above what the link leads to, for the system and so for all files of a run.
    @Test func aRunBehindALinkIsInOnePlace() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let files = FileManager.default
            try files.createDirectory(atPath: "\(folder)/deep/inner", withIntermediateDirectories: true)
            try files.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "deep/inner")
            let result = try LigerProcess.run(
                small.arguments(out: "./link/../run"), in: folder, at: folder)
            #expect(result.status == 0, "\(result.errors)")
            for name in ["run.json", "metrics.jsonl", "final/model.safetensors"] {
                #expect(files.fileExists(atPath: "\(folder)/deep/run/\(name)"), "\(name)")
            }
            #expect(!files.fileExists(atPath: "\(folder)/run"))
        }
    }
}
