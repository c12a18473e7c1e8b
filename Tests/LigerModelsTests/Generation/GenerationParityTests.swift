import Foundation
import LigerModels
import LigerNN
import TestSupport
import Testing

/// Greedy tokens of every family, as transformers' generate gives them.
@Suite(
    .serialized,
    .enabled(if: Python.transformers.shouldRun, Comment(rawValue: Python.transformers.skipReason)))
struct GenerationParityTests {
    private struct Recorded: Decodable {
        let prompt: [Int32]
        let tokens: [Int32]
    }

    private static let made = Result {
        let folder = try TemporaryFolder()
        try Python.transformers.run(script: "generation_fixture.py", folder.url.path)
        return Kept(folder)
    }

    /// Lives as long as the process.
    private struct Kept: @unchecked Sendable {
        let folder: TemporaryFolder
        init(_ folder: TemporaryFolder) { self.folder = folder }
    }

    @Test(arguments: TransformersFixture.variants) func tokensAreThoseOfTransformers(variant: String) throws {
        let folder = try Self.made.get().folder.file(variant)
        let recorded = try JSONDecoder().decode(
            Recorded.self, from: Data(contentsOf: folder.appendingPathComponent("tokens.json")))
        let model = try CausalLanguageModel(folder: folder)
        var tokens: [Int32] = []
        let end = try TextGenerator(model.decoder, endTokens: []).continuing(recorded.prompt, count: 24) {
            tokens.append($0)
        }
        #expect(tokens == recorded.tokens)
        #expect(tokens.count == 24 && end == .length && Set(tokens).count > 2)

        // A text ends before its end token, and at the last position.
        var short: [Int32] = []
        let stop = tokens[5]
        let stopped = try TextGenerator(model.decoder, endTokens: [stop]).continuing(
            recorded.prompt, count: 24
        ) {
            short.append($0)
        }
        #expect(stopped == .token && short == Array(tokens.prefix { $0 != stop }))
        let room = model.decoder.maximumPositions - recorded.prompt.count
        let full = try TextGenerator(model.decoder, endTokens: []).continuing(
            recorded.prompt, count: room + 1
        ) {
            _ in
        }
        #expect(full == .positions)
    }
}
