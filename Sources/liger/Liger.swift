internal import ArgumentParser
internal import LigerCatalogue
internal import LigerRunFile
internal import LigerTrainer
internal import Platform

/// Trains language models on kernels written in Swift.
@main struct Liger: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "liger", abstract: "Train language models on kernels written in Swift.",
        discussion: """
            Start with `liger train`: it trains a small Llama on this package's own text and needs no \
            download. `liger compare` shows what the fused kernels save, `liger verify` that they are right, \
            `liger bench` how close they come to the machine's memory bandwidth. `liger generate` continues a text \
            with what was trained.
            """,
        version: Version.text + (System.isDebugBuild ? ", built for debugging" : ""),
        subcommands: [
            Train.self, Generate.self, Evaluate.self, Merge.self, Plot.self, Compare.self, Kernels.self,
            Verify.self,
            Bench.self, Doctor.self,
        ])

    /// Runs a command; a run file that `train` is given stands before its options.
    static func main() {
        StandardStreams.open()
        do {
            let words = try RunFileCommandLine.expanded(Array(CommandLine.arguments.dropFirst()))
            if (try? parseAsRoot(words)) == nil { try refuseOthersNames(words) }
            run(words)
        } catch {
            exit(withError: ValidationError("\(error)"))
        }
    }

    /// Runs a command to its end, which is a failure if what it printed went nowhere, as on a full disk.
    private static func run(_ words: [String]) {
        do {
            var command = try parseAsRoot(words)
            try command.run()
            if !StandardStreams.hasTakenAll() {
                throw TrainerError(
                    .outputUnwritable, "What was printed could not be written to standard output.",
                    remedy: "Make room there, or send it elsewhere.")
            }
        } catch {
            exit(withError: error)
        }
    }

    /// Says what an option is called here that other trainers have under another name.
    private static func refuseOthersNames(_ words: [String]) throws {
        guard words.first == Train._commandName else { return }
        for word in words.dropFirst().prefix(while: { $0 != "--" }) where word.hasPrefix("--") {
            let name = word.dropFirst(2).prefix { $0 != "=" }
            if let own = Spelling.synonym(String(name)) {
                throw ValidationError("Unknown option '--\(name)'; here it is --\(own)")
            }
        }
    }
}
