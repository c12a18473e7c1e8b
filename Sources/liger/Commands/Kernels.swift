internal import ArgumentParser
internal import LigerCatalogue
internal import LigerTrainer
internal import Tile
internal import TileGPU
internal import TilePTX

/// Lists the operations, or shows what the compiler makes of one.
struct Kernels: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the operations, or show what the compiler makes of one.",
        discussion: """
            EXAMPLES:
              liger kernels
              liger kernels RMSNorm
              liger kernels RMSNorm --recorded
              liger kernels RMSNorm --emit ptx --target 90
            """)

    @Argument(help: "An operation, to show the IR of its kernels.")
    var name: String?

    @Flag(help: "Show the IR as the kernel's author wrote it, before any pass.")
    var recorded = false

    /// A form a kernel passes through.
    enum Form: String, ExpressibleByArgument, CaseIterable { case ir, ptx }

    @Option(help: "The form to show: Tile IR, or PTX for NVIDIA GPUs.")
    var emit = Form.ir

    @Option(help: "The GPU to print PTX for: 75, 80, 86, 89, 90, 100 or 120.")
    var target = 90

    func validate() throws {
        if !Target.all.contains(Target(capability: target)) {
            let known = Target.all.map { "\($0.capability)" }.joined(separator: ", ")
            throw ValidationError("There is no target \(target). Targets: \(known).")
        }
    }

    @OptionGroup var output: OutputArguments

    func run() throws {
        guard let name else { return try list() }
        var choice = OperationArguments()
        choice.names = [name]
        for kernel in try choice.entries()[0].kernels {
            let function = try recorded ? TileFunction.record(kernel) : TileFunction.trace(kernel)
            let text = emit == .ir ? function.description : try ptx(function)
            if output.json {
                print(try OutputArguments.line(Listing(kernel: kernel.name, text: text)))
            } else {
                print(text, terminator: "\n\n")
            }
        }
    }

    private struct Listing: Encodable {
        let kernel: String
        let text: String
    }

    /// For contiguous arrays at aligned addresses, the common case.
    private func ptx(_ function: TileFunction) throws -> String {
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        }
        let threads = try ThreadFunction(
            function, layouts: layouts,
            schedule: GPUSchedule(function, layouts: layouts, capability: target),
            sharedLimit: Target(capability: target).sharedBytes)
        return PTXModule(threads, target: Target(capability: target)).text
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
