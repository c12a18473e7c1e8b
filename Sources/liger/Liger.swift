internal import ArgumentParser

/// Trains language models on kernels written in Swift.
@main struct Liger: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "liger", abstract: "Train language models on kernels written in Swift.")
}
