import Foundation
import LigerModels
import LigerNN
import LigerRuntime

/// What PyTorch computed with a tiny Llama that transformers built; see Tests/parity/llama_fixture.py.
struct TransformersFixture {
    struct Training: Decodable {
        let losses: [Double]
        let lr: Float
        let betas: [Float]
        let eps: Float
        let weightDecay: Float
    }

    static let variants = ["grouped", "tied", "stretched"]

    /// The folder of a variant's checkpoint.
    let folder: URL
    let ids: NDArray
    let labels: NDArray
    /// Logits, loss and gradients.
    private let step: SafetensorsFile
    let training: Training

    /// Made once and used by all tests.
    private static let made = Result {
        let folder = try TemporaryFolder()
        try PythonRunner.run(script: "llama_fixture.py", folder.url.path)
        return folder
    }

    init(_ variant: String) throws {
        folder = try Self.made.get().file(variant)
        step = try SafetensorsFile(url: folder.appendingPathComponent("step.safetensors"))
        ids = try step.array("input_ids")
        labels = try step.array("labels")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        training = try decoder.decode(
            Training.self, from: Data(contentsOf: folder.appendingPathComponent("losses.json")))
    }

    func numbers(_ name: String) throws -> [Double] { try step.array(name).doubles }

    var gradientNames: [String] {
        step.tensors.keys.filter { $0.hasPrefix("gradient.") }.map { String($0.dropFirst(9)) }.sorted()
    }
}
