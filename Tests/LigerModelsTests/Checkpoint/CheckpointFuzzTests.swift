import Foundation
import LigerKernels
import LigerModels
import TestSupport
import Testing
import Tile

@Suite("Damaged input never crashes a parser")
struct CheckpointFuzzTests {
    /// Runs `parse` over damaged inputs: it must succeed or throw a `CheckpointError`, and do both at times
    /// (or the damage is too rough or too gentle to show anything).
    static func fuzz(
        _ what: String, seed: UInt64, count: Int, corpus: [[UInt8]],
        finish: (inout Mutator, [UInt8]) -> [UInt8] = { $1 }, parse: ([UInt8]) throws -> Void
    ) {
        print("\(what): seed \(seed), \(count) damaged inputs")
        var mutator = Mutator(seed: seed)
        var accepted = 0
        var rejected = 0
        for number in 0..<count {
            let original = corpus[mutator.below(corpus.count)]
            let other = corpus[mutator.below(corpus.count)]
            let input = finish(&mutator, mutator.damage(original, with: other))
            do {
                try parse(input)
                accepted += 1
            } catch let error as CheckpointError {
                rejected += 1
                if error.description.isEmpty { Issue.record("an empty message for input \(number)") }
            } catch {
                Issue.record("input \(number) of seed \(seed): \(error)")
            }
        }
        print("\(what): \(accepted) accepted, \(rejected) rejected")
        #expect(accepted > count / 1000)
        #expect(rejected > count / 2)
    }

    /// Opens a file and reads every tensor that it promises.
    static func readEverything(_ bytes: [UInt8]) throws {
        let file = try SafetensorsFile(bytes: bytes, name: "fuzz.safetensors")
        var covered = 0
        for (name, entry) in file.tensors {
            covered += entry.byteRange.count
            guard let dtype = entry.dtype else { continue }
            let count = try file.withBytes(of: name) { $0.count }
            #expect(count == entry.elementCount * dtype.byteCount)
        }
        #expect(covered < bytes.count)
    }

    static func files() throws -> [[UInt8]] {
        let folder = try TemporaryFolder()
        let samples = SampleTensors.all(seed: 11).map(\.content)
        return try [1, 3, 8, samples.count].enumerated().map { index, count in
            let url = folder.file("\(index)")
            try SafetensorsWriter.write(Array(samples.prefix(count)), metadata: ["k": "v\n"], to: url)
            return [UInt8](try Data(contentsOf: url))
        }
    }

    @Test("Whole safetensors files: 20,000")
    func wholeFiles() throws {
        Self.fuzz("safetensors files", seed: 101, count: 20_000, corpus: try Self.files()) {
            try Self.readEverything($0)
        }
    }

    @Test("Safetensors headers behind a length that fits: 40,000")
    func headers() throws {
        let files = try Self.files().prefix(3)
        let headers = files.map { Array($0[8..<8 + Self.headerByteCount(of: $0)]) }
        let dataByteCounts = files.map { $0.count - 8 - Self.headerByteCount(of: $0) }
        Self.fuzz(
            "safetensors headers", seed: 102, count: 40_000, corpus: headers,
            finish: { mutator, header in
                // The data of one of the files: often, but not always, what the header speaks of.
                let dataByteCount = dataByteCounts[mutator.below(dataByteCounts.count)]
                return SampleTensors.file(header: header, dataByteCount: dataByteCount)
            }, parse: { try Self.readEverything($0) })
    }

    private static func headerByteCount(of file: [UInt8]) -> Int { Int(file[0]) + Int(file[1]) << 8 }

    @Test("config.json: 15,000")
    func configurations() throws {
        let llama3 = ModelConfiguration(
            Llama(
                .init(
                    hiddenSize: 64, intermediateSize: 96, layerCount: 2, headCount: 4, vocabularySize: 128,
                    rope: RopeConfiguration(
                        scaling: .llama3(
                            RoPE.Scaling(
                                factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4,
                                originalContext: 8192))),
                    endTokenIDs: [2, 3], dtype: .bf16)))
        let small =
            #"{"model_type":"mistral","hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"#
            + #""num_attention_heads":2,"num_key_value_heads":1,"vocab_size":9,"sliding_window":null}"#
        Self.fuzz(
            "config.json", seed: 103, count: 15_000, corpus: [try llama3.serialized(), Array(small.utf8)]
        ) { bytes in
            let configuration = try ModelConfiguration(parsing: bytes, file: "config.json")
            let again = try ModelConfiguration(parsing: try configuration.serialized(), file: "config.json")
            #expect(again == configuration)
        }
    }

    @Test("model.safetensors.index.json: 15,000")
    func indexes() throws {
        let folder = try TemporaryFolder()
        let tensors = ["a", "b", "c"].map { TensorContent(name: $0, dtype: .u8, shape: [2], bytes: [1, 2]) }
        try Checkpoint.writeWeights(tensors, into: folder.url, maximumShardByteCount: 4)
        let index = [UInt8](try Data(contentsOf: folder.file("model.safetensors.index.json")))
        let escaping = #"{"weight_map":{"a":"../x.safetensors","b":"/y.safetensors"}}"#
        Self.fuzz(
            "index.json", seed: 104, count: 15_000, corpus: [index, index, index, Array(escaping.utf8)]
        ) { bytes in
            let index = try CheckpointIndex(parsing: bytes, file: "index.json")
            for shard in index.shards.values {
                #expect(!shard.contains("/") && !shard.contains("\\") && !shard.hasPrefix("."))
            }
        }
    }
}
