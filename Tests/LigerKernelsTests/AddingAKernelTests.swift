import Foundation
import Testing

/// The page on adding a kernel shows files of the package, which are compiled, checked and run: each of its code
/// blocks is one of them, or a declaration in one, word for word.
@Suite struct AddingAKernelTests {
    @Test func showsTheFilesThatAreRun() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appending(path: "Documentation/AddingAKernel.md"), encoding: .utf8)
        let sources = try [
            "Sources/LigerKernels/ReLUSquared/ReLUSquared.swift",
            "Sources/LigerKernels/ReLUSquared/ReLUSquaredKernels.swift",
            "Sources/LigerKernels/ReLUSquared/ReLUSquaredReference.swift",
            "Tests/LigerKernelsTests/ReLUSquaredTests.swift",
            "Sources/LigerCatalogue/ReLUSquared+Catalogue.swift",
            "python/src/liger_kernel/ops/relu_squared.py",
        ].map { try String(contentsOf: root.appending(path: $0), encoding: .utf8) }
        func blocks(_ language: String) -> [String] {
            page.components(separatedBy: "```\(language)\n").dropFirst()
                .compactMap { $0.components(separatedBy: "```").first }
        }
        #expect(blocks("swift").dropLast() + blocks("python") == sources)
        let index = try String(
            contentsOf: root.appending(path: "Sources/LigerABI/Operations/Activations.swift"), encoding: .utf8
        )
        #expect(try index.contains(#require(blocks("swift").last)))
    }
}
