import Foundation
import LigerModels
import LigerNN
import LigerRuntime
import TestSupport

extension Python {
    /// What the parity tests of models and checkpoints need.
    static let transformers = Python(modules: ["torch", "transformers", "safetensors"])
}

/// What PyTorch computed with a tiny decoder that transformers built; see Tests/parity/decoder_fixture.py.
struct TransformersFixture {
    struct Training: Decodable {
        let losses: [Double]
        let lr: Double
        let betas: [Double]
        let eps: Double
        let weightDecay: Double
    }

    static let variants = [
        "grouped", "tied", "padded", "biased", "qwen2", "qwen3", "smollm3", "olmo2", "phi3", "mistral",
        "granite",
        "gemma", "stretched",
        "linear", "dynamic", "yarn", "longrope",
        "windowed", "phi3-windowed", "qwen2-windowed", "qwen3-windowed", "smollm3-windowed", "gemma2",
        "gemma3",
        "glm4", "gpt2",
        "mixtral", "mixtral-one", "mixtral-ties", "qwen3-moe", "qwen3-moe-idle",
    ]

    /// Those whose routers have a loss.
    static let variantsWithRouterLoss = ["mixtral", "mixtral-one", "qwen3-moe"]

    let ids: NDArray
    let labels: NDArray
    let training: Training
    /// Logits, loss and gradients.
    private let step: SafetensorsFile
    private let folder: TemporaryFolder

    /// The content of every file by its path; made once and used by all tests.
    private static let made = Result {
        let folder = try TemporaryFolder()
        try Python.transformers.run(script: "decoder_fixture.py", folder.url.path)
        let paths = try FileManager.default.subpathsOfDirectory(atPath: folder.url.path)
        return try paths.filter { $0.contains(".") }.reduce(into: [String: Data]()) {
            $0[$1] = try Data(contentsOf: folder.file($1))
        }
    }

    init(_ variant: String) throws {
        folder = try TemporaryFolder()
        for (path, content) in try Self.made.get() where path.hasPrefix(variant + "/") {
            try content.write(to: folder.file(String(path.dropFirst(variant.count + 1))))
        }
        step = try SafetensorsFile(url: folder.file("step.safetensors"))
        ids = try step.array("input_ids")
        labels = try step.array("labels")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        training = try decoder.decode(Training.self, from: Data(contentsOf: folder.file("losses.json")))
    }

    /// The folder of the variant's checkpoint; there as long as the fixture.
    var checkpoint: URL { folder.url }

    /// The step of padded rows, of a variant whose routers have a loss.
    func padded() throws -> SafetensorsFile { try SafetensorsFile(url: folder.file("padded.safetensors")) }

    func numbers(_ name: String) throws -> [Double] { try step.array(name).doubles }

    var gradientNames: [String] {
        step.tensors.keys.filter { $0.hasPrefix("gradient.") }.map { String($0.dropFirst(9)) }.sorted()
    }
}
