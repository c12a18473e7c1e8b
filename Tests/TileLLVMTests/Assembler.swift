import Foundation
import Testing
import TileLLVM

/// LLVM 22's compiler for AMD GPUs, if this machine has it (Debian's clang-22, lld-22 and llvm-22): earlier ones know
/// fewer architectures.
enum Assembler {
    static let isThere = ["clang-22", "ld.lld-22", "llvm-readelf-22"].allSatisfy { path($0) != nil }
    static let isRequired = ProcessInfo.processInfo.environment["CI"] == "true"

    private static func path(_ name: String) -> String? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// What a kernel takes, as its code object says.
    struct Needs {
        let kernel: String
        let vectorRegisters: Int
        /// Vector registers that went to memory. A few scalar ones may go to lanes of a vector register, which is none.
        let spilled: Int
        /// Of the block, and of each thread.
        let sharedBytes: Int
        let localBytes: Int
        let waveThreads: Int
        let parameterBytes: Int
    }

    /// Builds a module's code object and reads its notes.
    static func build(_ module: LLVMModule, _ target: AMDTarget, in folder: URL) throws -> [Needs] {
        let name = "\(target)-\(UUID().uuidString)"
        let source = folder.appending(path: "\(name).ll").path()
        let (object, linked) = (source + ".o", source + ".hsaco")
        try Data(module.text.utf8).write(to: URL(filePath: source))
        _ = try run(
            "clang-22",
            [
                "-target", "amdgcn-amd-amdhsa", "-mcpu=\(target)", "-nogpulib", "-O2", "-ffp-contract=off",
                "-c", source, "-o", object,
            ])
        _ = try run("ld.lld-22", ["-shared", object, "-o", linked])
        return needs(try run("llvm-readelf-22", ["--notes", linked]))
    }

    private static func run(_ tool: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: try #require(path(tool), "there is no \(tool)"))
        process.arguments = arguments
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(tool): \(text)")
        return text
    }

    /// A kernel's notes are lines of a key and a value, the first one's key behind a dash.
    private static func needs(_ notes: String) -> [Needs] {
        notes.components(separatedBy: "\n  - .").dropFirst().map { text in
            var values: [Substring: Substring] = [:]
            for line in text.split(separator: "\n") where line.hasPrefix("    .") {
                let words = line.split(separator: " ")
                if words.count == 2 { values[words[0].dropFirst().dropLast()] = words[1] }
            }
            func number(_ key: Substring) -> Int { values[key].flatMap { Int($0) } ?? -1 }
            return Needs(
                kernel: values["name"].map(String.init) ?? "", vectorRegisters: number("vgpr_count"),
                spilled: number("vgpr_spill_count"),
                sharedBytes: number("group_segment_fixed_size"),
                localBytes: number("private_segment_fixed_size"), waveThreads: number("wavefront_size"),
                parameterBytes: number("kernarg_segment_size"))
        }
    }
}
