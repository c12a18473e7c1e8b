internal import ArgumentParser
internal import LigerCatalogue
internal import LigerTrainer
internal import Tile

/// Lists the operations, or shows what the compiler makes of one.
struct Kernels: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the operations, or show the IR of one's kernels.",
        discussion: """
            EXAMPLES:
              liger kernels
              liger kernels RMSNorm
              liger kernels RMSNorm --recorded
            """)

    @Argument(help: "An operation, to show the IR of its kernels.")
    var name: String?

    @Flag(help: "Show the IR as the kernel's author wrote it, before any pass.")
    var recorded = false

    @OptionGroup var output: OutputArguments

    func run() throws {
        guard let name else { return try list() }
        var choice = OperationArguments()
        choice.names = [name]
        for kernel in try choice.entries()[0].kernels {
            let function = try recorded ? TileFunction.record(kernel) : TileFunction.trace(kernel)
            if output.json {
                print(try OutputArguments.line(Listing(kernel: kernel.name, ir: function.description)))
            } else {
                print(function.description, terminator: "\n\n")
            }
        }
    }

    private struct Listing: Encodable {
        let kernel: String
        let ir: String
    }

    private func list() throws {
        struct Row: Encodable {
            let operation: String
            let formula: String
            let kernels: [String]
        }
        let rows = try Catalogue.entries.map {
            let names = try $0.kernels.map(\.name)
            // A kernel compiled for several uses is one kernel to its reader.
            let unique = names.indices.filter { !names[..<$0].contains(names[$0]) }.map { names[$0] }
            return Row(operation: $0.name, formula: $0.summary, kernels: unique)
        }
        if output.json {
            for row in rows { print(try OutputArguments.line(row)) }
            return
        }
        var table = Table([.text("operation"), .text("formula"), .text("kernels")])
        for row in rows {
            table.add([row.operation, row.formula, row.kernels.joined(separator: ", ")])
        }
        print(table.plain, terminator: "")
    }
}
