internal import ArgumentParser
internal import LigerCatalogue
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
        do {
            main(try RunFileCommandLine.expanded(Array(CommandLine.arguments.dropFirst())))
        } catch {
            exit(withError: ValidationError("\(error)"))
        }
    }
}
