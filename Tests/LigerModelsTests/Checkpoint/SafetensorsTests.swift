import Foundation
import LigerModels
import TestSupport
import Testing
import Tile

@Suite("Safetensors files")
struct SafetensorsTests {
    @Test("What is written is read back, every type and odd shape")
    func roundTrip() throws {
        let seed: UInt64 = 1
        print("safetensors round trip: seed \(seed)")
        let folder = try TemporaryFolder()
        let samples = SampleTensors.all(seed: seed)
        try SafetensorsWriter.write(samples.map(\.content), to: folder.file("a.safetensors"))
        let file = try SafetensorsFile(url: folder.file("a.safetensors"))
        #expect(file.tensors.count == samples.count)
        #expect(file.metadata == ["format": "pt"])
        for sample in samples {
            let entry = try file.entry(of: sample.name)
            #expect(entry.shape == sample.shape)
            #expect(entry.storedType == sample.type)
            #expect(entry.elementCount == sample.shape.reduce(1, *))
            #expect(try SampleTensors.bytes(of: sample.name, in: file) == sample.bytes)
        }
        #expect(try folder.names == ["a.safetensors"])
    }

    @Test("Equal content gives equal bytes, whatever the order it came in")
    func deterministic() throws {
        let folder = try TemporaryFolder()
        let samples = SampleTensors.all(seed: 2).map(\.content)
        try SafetensorsWriter.write(samples, to: folder.file("a"))
        try SafetensorsWriter.write(samples.reversed(), to: folder.file("b"))
        #expect(try Data(contentsOf: folder.file("a")) == Data(contentsOf: folder.file("b")))
    }

    @Test("Every tensor is aligned to its elements")
    func alignment() throws {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write(
            SampleTensors.all(seed: 3).map(\.content), metadata: ["odd": "x"], to: folder.file("a"))
        for (name, entry) in try SafetensorsFile(url: folder.file("a")).tensors {
            let width = try #require(entry.dtype).byteCount
            #expect(entry.byteRange.lowerBound.isMultiple(of: width), "\(name)")
        }
    }

    @Test("A stretch of a tensor is read without the rest, and a tensor is written in stretches")
    func stretches() throws {
        let folder = try TemporaryFolder()
        let bytes = [UInt8](0..<40)
        let content = TensorContent(name: "x", dtype: .i32, shape: [10]) { consume in
            for start in stride(from: 0, to: 40, by: 16) {
                try bytes[start..<min(start + 16, 40)].withUnsafeBytes { try consume($0) }
            }
        }
        try SafetensorsWriter.write([content], to: folder.file("a"))
        let file = try SafetensorsFile(url: folder.file("a"))
        var part = [UInt8](repeating: 0xFF, count: 7)
        try part.withUnsafeMutableBytes { try file.read("x", from: 13, into: $0) }
        #expect(part == Array(bytes[13..<20]))
    }

    @Test("No tensors, names with any character, metadata with any character")
    func unusualText() throws {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write([], metadata: [:], to: folder.file("empty"))
        #expect(try SafetensorsFile(url: folder.file("empty")).tensors.isEmpty)
        let name = "quote\" back\\slash /\n\t\u{1} \u{1F999} \u{E9} \u{0}"
        let content = TensorContent(name: name, dtype: .u8, shape: [1], bytes: [7])
        try SafetensorsWriter.write([content], metadata: [name: name], to: folder.file("a"))
        let file = try SafetensorsFile(url: folder.file("a"))
        #expect(try SampleTensors.bytes(of: name, in: file) == [7])
        #expect(file.metadata == [name: name])
    }

    @Test("A file cut short after it was opened is an error, not a crash")
    func cutWhileOpen() throws {
        let folder = try TemporaryFolder()
        let content = TensorContent(
            name: "x", dtype: .u8, shape: [100_000], bytes: Array(repeating: 1, count: 100_000))
        try SafetensorsWriter.write([content], to: folder.file("a"))
        let file = try SafetensorsFile(url: folder.file("a"))
        let handle = try FileHandle(forWritingTo: folder.file("a"))
        try handle.truncate(atOffset: 5000)
        let error = #expect(throws: CheckpointError.self) { try SampleTensors.bytes(of: "x", in: file) }
        #expect(error?.description.contains("cut short") == true)
    }
}

extension TensorContent {
    init(name: String, dtype: DType, shape: [Int], bytes: [UInt8]) {
        self.init(name: name, storedType: StoredType(dtype), shape: shape, bytes: bytes)
    }
}
