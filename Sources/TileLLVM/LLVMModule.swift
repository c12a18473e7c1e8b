package import TileGPU

/// Kernels as LLVM IR text, in what LLVM 15 to 22 read alike: opaque pointers, no flags, no attributes that came later.
///
/// A kernel's one parameter is a record with the bytes that `ParameterLayout` says.
package struct LLVMModule: Sendable {
    package let text: String
    /// The kernels' names, in order.
    package let entries: [String]

    /// Prints threads' programs for an architecture.
    ///
    /// - Throws: `LoweringError` where a program has a step that the architecture lacks.
    /// - Cost: linear in the number of instructions.
    package init(_ functions: [ThreadFunction], target: AMDTarget) throws {
        var (entries, declarations, bodies) = ([String](), Set<String>(), [String]())
        var metadata = Metadata()
        for function in functions {
            let again = entries.count { $0 == function.name || $0.hasPrefix(function.name + ".") }
            let entry = again == 0 ? function.name : "\(function.name).\(again)"
            entries.append(entry)
            var printer = Printer(function, target, entry: entry, metadata: metadata)
            bodies.append(try printer.definition())
            declarations.formUnion(printer.declarations)
            metadata = printer.metadata
        }
        self.entries = entries
        text =
            (["target triple = \"amdgcn-amd-amdhsa\"", ""] + declarations.sorted() + [""] + bodies
            + metadata.lines + [""]).joined(separator: "\n")
    }
}

/// Numbered facts at a module's end.
struct Metadata {
    /// Fences order accesses to shared memory alone: what a program writes elsewhere, no other thread reads. Later
    /// releases have another name for it.
    static let sharedOnly = "!mmra !2"

    private(set) var lines = [
        "!0 = !{!\"amdgpu-as\", !\"local\"}", "!1 = !{!\"amdgpu-synchronize-as\", !\"local\"}",
        "!2 = !{!0, !1}", "!3 = !{!\"llvm.loop.unroll.disable\"}",
    ]

    /// For a loop that stays as it is: the schedule has decided how much is in flight in an iteration.
    mutating func loop() -> String {
        let number = lines.count
        lines.append("!\(number) = distinct !{!\(number), !3}")
        return "!llvm.loop !\(number)"
    }
}
