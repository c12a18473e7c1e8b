import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Standard streams that are closed or full, and paths that are not what they look like.
@Suite(.serialized) struct StreamTests {
    /// As a service may start it. What is meant for a terminal must not end up in the run's files.
    @Test(arguments: ["<&- >&- 2>&-", ">&-", "<&- >&-", ">&- 2>&-"])
    func closedStreamsAreNotTheFilesOfARun(redirections: String) throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            let result = try LigerProcess.run(small.arguments(), in: folder, redirections: redirections)
            #expect(result.status == 0)
            let lines = try String(contentsOfFile: "\(small.out)/metrics.jsonl", encoding: .utf8)
            #expect(lines.split(separator: "\n").allSatisfy { $0.hasPrefix("{") }, "\(lines)")
            let other = "\(folder)/other"
            #expect(try small.train(out: other).status == 0)
            #expect(try SmallRun.numbers(of: small.out) == SmallRun.numbers(of: other))
            try SmallRun.expectSameModels(small.out, other)
        }
    }

    #if os(Linux)
        /// The device that is always full. A run's results are in its folder, whoever reads along.
        @Test func whatIsPrintedToAFullDiskIsAFailure() throws {
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
    #endif

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
