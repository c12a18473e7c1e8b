import Foundation
import LigerCatalogue
import Testing
import Tile

/// The page on adding a kernel shows the files beside this one, which are compiled and run: each of its
/// code blocks is one of them, word for word, less the import of the module that the file would lie in.
@Suite struct AddingAKernelTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

    @Test func showsTheFilesThatAreRun() throws {
        let root = Self.folder.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appending(path: "Documentation/AddingAKernel.md"), encoding: .utf8)
        let sources = try [
            "ReLUSquared.swift", "ReLUSquaredKernels.swift", "ReLUSquaredReference.swift",
            "ReLUSquaredTests.swift", "ReLUSquared+Catalogue.swift",
        ].map { try String(contentsOf: Self.folder.appending(path: $0), encoding: .utf8) }
        let blocks = page.components(separatedBy: "```swift\n").dropFirst()
            .compactMap { $0.components(separatedBy: "```").first }
        #expect(blocks.count == sources.count)
        for (block, source) in zip(blocks, sources) {
            let compiled = ["", "import LigerKernels\n", "import LigerCatalogue\n"].map { $0 + block }
            #expect(compiled.contains(source), "\(block)")
        }
    }

    @Test(arguments: [DType.f32, .bf16, .f16])
    func passesTheVerificationItIsEnteredFor(dtype: DType) throws {
        let entry = Catalogue.reluSquared
        #expect(try Verification.worst(of: entry, dtype: dtype, seed: 1).result.passes)
        #expect(try entry.workload?(BenchmarkSize()).floorBytes == 5 * 2048 * 4096 * 4)
        for kernel in try entry.kernels { _ = try TileFunction.trace(kernel) }
    }
}
