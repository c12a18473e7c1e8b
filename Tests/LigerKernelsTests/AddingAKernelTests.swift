import Foundation
import Testing

/// The page on adding a kernel shows files of the package, which are compiled, checked and run: each of its code
/// blocks is one of them, word for word.
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
        ].map { try String(contentsOf: root.appending(path: $0), encoding: .utf8) }
        let blocks = page.components(separatedBy: "```swift\n").dropFirst()
            .compactMap { $0.components(separatedBy: "```").first }
        #expect(blocks.count == sources.count)
        for (block, source) in zip(blocks, sources) { #expect(block == source) }
    }
}
