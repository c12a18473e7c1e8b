internal import ArgumentParser
internal import LigerCatalogue
internal import LigerTrainer
internal import Tile
internal import TileGPU
internal import TileLLVM
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
              liger kernels RMSNorm --plan
              liger kernels RMSNorm --plan --pass memory
              liger kernels RMSNorm --emit ptx --target 90
              liger kernels RMSNorm --emit llvm --target gfx942
            """)

    @Argument(help: "An operation, to show the IR of its kernels.")
    var name: String?

    @Flag(help: "Show the IR as the kernel's author wrote it, before any pass.")
    var recorded = false

    /// A form a kernel passes through.
    enum Form: String, ExpressibleByArgument, CaseIterable { case ir, ptx, llvm }

    @Option(help: "The form to show: Tile IR, PTX for NVIDIA GPUs, or LLVM IR for AMD GPUs (default: ir).")
    var emit: Form?

    @Flag(
        help:
            "Show what is decided for a GPU before code is written: which lanes, places and accesses threads have."
    )
    var plan = false

    @Option(help: "The one pass of the plan to show: \(Self.passNames).")
    var pass: String?

    @Option(help: "The GPU to plan or print for: \(Self.targetNames) (default: 90; gfx942 for llvm).")
    var target: String?

    private static let targets: [String: any GPUTarget] = {
        let nvidia = Target.all.map { ("\($0.capability)", $0 as any GPUTarget) }
        let amd = AMDTarget.all.map { ($0.name, $0 as any GPUTarget) }
        return Dictionary(uniqueKeysWithValues: nvidia + amd)
    }()
    private static let targetNames =
        (Target.all.map { "\($0.capability)" } + AMDTarget.all.map(\.name)).joined(separator: ", ")
    private static let passNames = GPUPlan.passes.map(\.name).joined(separator: ", ")

    private var targetName: String { target ?? (emit == .llvm ? "gfx942" : "90") }

    private func gpu() throws -> any GPUTarget {
        guard let found = Self.targets[targetName] else {
            throw ValidationError("There is no target \(targetName). Targets: \(Self.targetNames).")
        }
        return found
    }

    func validate() throws {
        let gpu = try gpu()
        if name == nil && (recorded || plan || emit != nil) {
            throw ValidationError(
                "--recorded, --plan and --emit show kernels: name an operation. `liger kernels` lists them.")
        }
        if plan && emit != nil {
            throw ValidationError(
                "--plan and --emit \(emit?.rawValue ?? "") are two forms. Give one of them.")
        }
        let printsForGPU = emit == .ptx || emit == .llvm
        if target != nil && !plan && !printsForGPU {
            throw ValidationError("--target is for --plan, --emit ptx and --emit llvm. Give one of them.")
        }
        if let emit, printsForGPU && type(of: gpu).language != emit.rawValue {
            throw ValidationError(
                "\(targetName) has \(type(of: gpu).language), not \(emit.rawValue). "
                    + "Give --emit \(type(of: gpu).language), or another --target.")
        }
        guard let pass else { return }
        if !plan { throw ValidationError("--pass shows part of a plan. Give --plan too.") }
        if chosenPass == nil {
            throw ValidationError("There is no pass '\(pass)'. Passes: \(Self.passNames).")
        }
    }

    private var chosenPass: PlanningPass? { GPUPlan.passes.first { $0.name == pass } }

    @OptionGroup var output: OutputArguments

    func run() throws {
        guard let name else { return try list() }
        var choice = OperationArguments()
        choice.names = [name]
        for kernel in try choice.entries()[0].kernels {
            let function = try recorded ? TileFunction.record(kernel) : TileFunction.trace(kernel)
            let text = try text(function)
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

    private func text(_ function: TileFunction) throws -> String {
        if emit == .ir || (emit == nil && !plan) { return function.description }
        // For contiguous arrays at aligned addresses, the common case.
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: true)
        }
        let gpu = try gpu()
        let decided = try gpu.plan(function, layouts: layouts)
        if !plan { return try gpu.text(ThreadFunction(decided)) }
        return chosenPass.map { "\(function.name)\n\(decided.text($0))" } ?? decided.description
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
