internal import ArgumentParser
internal import LigerCatalogue
internal import Platform

/// Says on standard error that times of this build mean little.
func warnOfDebugBuild() {
    guard System.isDebugBuild else { return }
    warn("this is a debug build, 6 to 16 times slower than one by swift build -c release")
}

/// Says on standard error what does not end a command.
func warn(_ problem: String) {
    let text = Array("warning: \(problem)\n".utf8)
    _ = write(STDERR_FILENO, text, text.count)
}

/// How a command reports.
struct OutputArguments: ParsableArguments {
    @Flag(help: "Print one JSON object per line instead of a table.")
    var json = false

    /// One line of JSON with keys in a fixed order.
    static func line(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

/// Which operations a command is about.
struct OperationArguments: ParsableArguments {
    @Option(
        name: .customLong("operation"), parsing: .upToNextOption,
        help: "Operations by name, as `liger kernels` lists them (default: all).")
    var names: [String] = []

    /// The entries of those names, all if none was given.
    func entries() throws -> [CatalogueEntry] {
        if names.isEmpty { return Catalogue.entries }
        return try names.map { name in
            guard let entry = Catalogue.entry(name) else {
                let known = Catalogue.entries.map(\.name).joined(separator: ", ")
                throw ValidationError("There is no operation '\(name)'. There are: \(known).")
            }
            return entry
        }
    }
}
