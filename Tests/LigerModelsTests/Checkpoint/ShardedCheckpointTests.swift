import Foundation
import LigerModels
import TestSupport
import Testing
import Tile

@Suite("Checkpoints of one or several files")
struct ShardedCheckpointTests {
    static let configuration = ModelConfiguration(
        Llama(
            .init(
                hiddenSize: 8, intermediateSize: 16, layerCount: 1, headCount: 2, vocabularySize: 32)))

    @Test(
        "What is saved is read back, in one file and in shards",
        // Below every tensor, between them, above most, above all together (1716 bytes).
        arguments: [1, 100, 1000, 1716])
    func roundTrip(maximumShardByteCount: Int) throws {
        let folder = try TemporaryFolder()
        let samples = SampleTensors.all(seed: 5)
        let model = folder.file("model")
        try Checkpoint.save(
            samples.map(\.content), configuration: Self.configuration,
            others: ["tokenizer.json": [0x7B, 0x7D]],
            to: model, maximumShardByteCount: maximumShardByteCount)
        let checkpoint = try Checkpoint(url: model)
        #expect(checkpoint.names == samples.map(\.name).sorted())
        for sample in samples {
            #expect(try SampleTensors.bytes(of: sample.name, in: checkpoint) == sample.bytes)
            #expect(try checkpoint.entry(of: sample.name).storedType == sample.type)
        }
        #expect(try ModelConfiguration(folder: model) == Self.configuration)
        let names = try FileManager.default.contentsOfDirectory(atPath: model.path)
        #expect(names.contains("tokenizer.json"))
        let shards = names.filter { $0.hasPrefix("model-") }
        #expect(names.contains("model.safetensors") == (maximumShardByteCount >= 1716))
        #expect(names.contains("model.safetensors.index.json") == !shards.isEmpty)
        for shard in shards {
            let file = try SafetensorsFile(url: model.appendingPathComponent(shard))
            let total = file.tensors.values.reduce(0) { $0 + $1.byteRange.count }
            // Tensors without bytes join any shard.
            let filled = file.tensors.values.filter { !$0.byteRange.isEmpty }
            #expect(total <= maximumShardByteCount || filled.count == 1)
        }
        #expect(shards.count > 1 || maximumShardByteCount >= 1716)
    }

    @Test("Shards are named as transformers names them, and the index says their total size")
    func names() throws {
        let folder = try TemporaryFolder()
        let tensors = ["c", "a", "b"].map { TensorContent(name: $0, dtype: .u8, shape: [2], bytes: [1, 2]) }
        try Checkpoint.writeWeights(tensors, into: folder.url, maximumShardByteCount: 4)
        #expect(
            try folder.names == [
                "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ])
        let index = try String(contentsOf: folder.file("model.safetensors.index.json"), encoding: .utf8)
        #expect(
            index == """
                {
                  "metadata": {
                    "total_size": 6
                  },
                  "weight_map": {
                    "a": "model-00001-of-00002.safetensors",
                    "b": "model-00002-of-00002.safetensors",
                    "c": "model-00001-of-00002.safetensors"
                  }
                }

                """)
        #expect(throws: CheckpointError.self, "old and new shards must not mix") {
            try Checkpoint.writeWeights(tensors, into: folder.url)
        }
    }

    /// An index, the shards that exist with their tensors, and what the message must contain.
    struct Case: CustomTestStringConvertible {
        let index: String
        let shards: [String: [String]]
        let message: [String]
        var testDescription: String { index }
    }

    static let cases: [Case] = [
        Case(
            index: #"{"weight_map":{"a":"../x.safetensors"}}"#, shards: [:], message: ["\"a\"", "plain name"]),
        Case(
            index: #"{"weight_map":{"a":"/etc/x.safetensors"}}"#, shards: [:],
            message: ["\"a\"", "plain name"]),
        Case(index: #"{"weight_map":{"a":"sub/x.safetensors"}}"#, shards: [:], message: ["plain name"]),
        Case(index: #"{"weight_map":{"a":"..\\x.safetensors"}}"#, shards: [:], message: ["plain name"]),
        Case(index: #"{"weight_map":{"a":".."}}"#, shards: [:], message: ["plain name"]),
        Case(index: #"{"weight_map":{"a":"x\u0000.safetensors"}}"#, shards: [:], message: ["plain name"]),
        Case(index: #"{"weight_map":{"a":3}}"#, shards: [:], message: ["plain name"]),
        Case(index: #"{"weight_map":{}}"#, shards: [:], message: ["weight_map"]),
        Case(index: #"{"weight_map":["a"]}"#, shards: [:], message: ["weight_map"]),
        Case(index: #"{"metadata":{}}"#, shards: [:], message: ["weight_map"]),
        Case(index: #"[1]"#, shards: [:], message: ["weight_map"]),
        Case(index: #"{"weight_map":{"a":"s.safetensors""#, shards: [:], message: ["byte"]),
        Case(
            index: #"{"weight_map":{"a":"s.safetensors","b":"t.safetensors"}}"#,
            shards: ["s.safetensors": ["a"]],
            message: ["t.safetensors", "no such file"]),
        Case(
            index: #"{"weight_map":{"a":"s.safetensors","b":"s.safetensors"}}"#,
            shards: ["s.safetensors": ["a"]],
            message: ["\"b\"", "no such tensor"]),
        Case(
            index: #"{"weight_map":{"a":"s.safetensors","b":"t.safetensors"}}"#,
            shards: ["s.safetensors": ["a"], "t.safetensors": ["a", "b"]], message: ["\"a\"", "copies"]),
        Case(
            index: #"{"weight_map":{"a":"s.safetensors"}}"#, shards: ["s.safetensors": ["a", "z"]],
            message: ["\"z\"", "not in the index"]),
        Case(
            index: #"{"weight_map":{"a":"s.safetensors"}}"#,
            shards: ["s.safetensors": ["a"], "model.safetensors": ["a"]], message: ["both"]),
    ]

    @Test("An index that lies is refused with its reason", arguments: cases)
    func badIndex(_ example: Case) throws {
        let folder = try TemporaryFolder()
        try Data(example.index.utf8).write(to: folder.file("model.safetensors.index.json"))
        for (shard, names) in example.shards {
            try SafetensorsWriter.write(
                names.map { TensorContent(name: $0, dtype: .u8, shape: [1], bytes: [1]) },
                to: folder.file(shard))
        }
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(url: folder.url) }
        let text = try #require(error?.description)
        for part in example.message { #expect(text.contains(part), "\(text)") }
    }

    @Test("No weights, no such tensor and a damaged shard")
    func otherProblems() throws {
        let folder = try TemporaryFolder()
        #expect(throws: CheckpointError.self) { try Checkpoint(url: folder.url) }
        #expect(throws: CheckpointError.self) { try Checkpoint(url: folder.file("absent")) }
        let tensors = ["a", "b"].map { TensorContent(name: $0, dtype: .u8, shape: [2], bytes: [1, 2]) }
        try Checkpoint.writeWeights(tensors, into: folder.url, maximumShardByteCount: 2)
        let checkpoint = try Checkpoint(url: folder.url)
        #expect(throws: CheckpointError.self) { try checkpoint.entry(of: "c") }
        try Data([1, 2, 3]).write(to: folder.file("model-00002-of-00002.safetensors"))
        let damaged = #expect(throws: CheckpointError.self) { try Checkpoint(url: folder.url) }
        #expect(damaged?.file.hasSuffix("model-00002-of-00002.safetensors") == true)
    }

    @Test("Saving a configuration that is not sound writes nothing")
    func unsoundConfiguration() throws {
        let folder = try TemporaryFolder()
        var configuration = Self.configuration
        configuration.headSize = 3
        #expect(throws: CheckpointError.self) {
            try Checkpoint.save([], configuration: configuration, to: folder.file("model"))
        }
        #expect(try folder.names.isEmpty)
    }
}
