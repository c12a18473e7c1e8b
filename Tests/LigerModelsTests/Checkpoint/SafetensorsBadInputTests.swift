import Foundation
import LigerModels
import TestSupport
import Testing
import Tile

@Suite("Bad safetensors input")
struct SafetensorsBadInputTests {
    /// A header, the number of data bytes after it, and what the message must contain.
    struct Case: CustomTestStringConvertible {
        let header: String
        let data: Int
        let message: [String]
        var testDescription: String { header }
    }

    static func entry(_ type: String, _ shape: String, _ begin: String, _ end: String) -> String {
        "{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
    }

    static let cases: [Case] = [
        // Offsets against the file.
        Case(
            header: "{\"x\":\(entry("F32", "[2]", "0", "8"))}", data: 7,
            message: ["\"x\"", "size of the file"]),
        Case(
            header: "{\"x\":\(entry("F32", "[2]", "0", "8"))}", data: 9, message: ["end of the last tensor"]),
        Case(header: "{\"x\":\(entry("F32", "[2]", "8", "0"))}", data: 8, message: ["\"x\"", "begin"]),
        Case(
            header: "{\"x\":\(entry("F32", "[2]", "0", "9223372036854775807"))}", data: 8, message: ["\"x\""]),
        Case(header: "{\"x\":\(entry("F32", "[2]", "-8", "0"))}", data: 8, message: ["negative"]),
        Case(
            header: "{\"x\":\(entry("F32", "[2]", "0", "18446744073709551616"))}", data: 8, message: ["whole"]
        ),
        // Overlap and gap.
        Case(
            header: "{\"a\":\(entry("U8", "[4]", "0", "4")),\"b\":\(entry("U8", "[4]", "2", "6"))}", data: 6,
            message: ["\"b\"", "also claims"]),
        Case(
            header: "{\"a\":\(entry("U8", "[4]", "0", "4")),\"b\":\(entry("U8", "[4]", "5", "9"))}", data: 9,
            message: ["\"b\"", "unclaimed"]),
        Case(header: "{\"a\":\(entry("U8", "[4]", "1", "5"))}", data: 5, message: ["\"a\"", "unclaimed"]),
        // Shape against size.
        Case(header: "{\"x\":\(entry("F32", "[3]", "0", "8"))}", data: 8, message: ["8 bytes", "12", "[3]"]),
        Case(header: "{\"x\":\(entry("F16", "[2]", "0", "8"))}", data: 8, message: ["8 bytes", "4", "F16"]),
        Case(
            header: "{\"x\":\(entry("F32", "[4294967296,4294967296]", "0", "8"))}", data: 8,
            message: ["\"x\"", "64 bits"]),
        Case(
            header: "{\"x\":\(entry("F32", "[4611686018427387904]", "0", "0"))}", data: 0,
            message: ["\"x\"", "2^63 bits"]),
        Case(header: "{\"x\":\(entry("F4", "[3]", "0", "2"))}", data: 2, message: ["whole bytes"]),
        Case(header: "{\"x\":\(entry("F32", "[-1]", "0", "4"))}", data: 4, message: ["negative"]),
        Case(header: "{\"x\":\(entry("F32", "[1.0]", "0", "4"))}", data: 4, message: ["whole number"]),
        Case(
            header:
                "{\"x\":\(entry("U8", "[\(Array(repeating: "1", count: 65).joined(separator: ","))]", "0", "1"))}",
            data: 1, message: ["more numbers"]),
        // Structure.
        Case(
            header: "{\"x\":\(entry("U8", "[1]", "0", "1")),\"x\":\(entry("U8", "[1]", "0", "1"))}", data: 1,
            message: ["\"x\"", "second time"]),
        Case(header: "{\"x\":{\"dtype\":\"U8\",\"shape\":[1]}}", data: 1, message: ["\"x\"", "incomplete"]),
        Case(header: "{\"x\":{\"dtype\":\"U8\",\"size\":1}}", data: 1, message: ["\"size\"", "\"x\""]),
        Case(header: "{\"__metadata__\":{\"a\":1}}", data: 0, message: ["a string"]),
        Case(header: "{\"__metadata__\":\"a\"}", data: 0, message: ["an object"]),
        Case(header: "{} x", data: 0, message: ["nothing after"]),
        Case(header: " {}", data: 0, message: ["opening brace"]),
        Case(header: "", data: 0, message: ["no header"]),
        Case(header: "[]", data: 0, message: ["opening brace"]),
        Case(header: "{\"x\":", data: 0, message: ["end of the text"]),
        Case(header: "{\"x\":" + String(repeating: "[", count: 5000), data: 0, message: ["an object"]),
    ]

    @Test("A header that cannot be true is refused with its reason", arguments: cases)
    func header(_ example: Case) throws {
        let bytes = SampleTensors.file(header: example.header, dataByteCount: example.data)
        let error = #expect(throws: CheckpointError.self) {
            try SafetensorsFile(bytes: bytes, name: "a.safetensors")
        }
        let text = try #require(error?.description)
        #expect(text.hasPrefix("a.safetensors: "))
        for part in example.message { #expect(text.contains(part), "\(text)") }
    }

    @Test("A file cut anywhere is refused")
    func truncated() throws {
        let folder = try TemporaryFolder()
        try SafetensorsWriter.write(
            [TensorContent(name: "x", dtype: .f32, shape: [3], bytes: Array(0..<12))], to: folder.file("a"))
        let whole = [UInt8](try Data(contentsOf: folder.file("a")))
        #expect(throws: Never.self) { try SafetensorsFile(bytes: whole, name: "a") }
        for count in 0..<whole.count {
            #expect(throws: CheckpointError.self, "\(count) of \(whole.count) bytes") {
                try SafetensorsFile(bytes: Array(whole.prefix(count)), name: "a")
            }
        }
    }

    @Test("What git leaves of a file that it did not fetch is told from weights")
    func pointer() {
        let text = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4096\n"
        let error = #expect(throws: CheckpointError.self) {
            try SafetensorsFile(bytes: Array(text.utf8), name: "a")
        }
        #expect(error?.description.contains("git lfs pull") == true)
    }

    @Test("A header length beyond the file or 100 MB is refused before anything is read")
    func headerLength() {
        for length in [UInt64(3), 100_000_001, 1 << 40, .max, 1 << 63] {
            let prefix = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) }
            #expect(throws: CheckpointError.self) {
                try SafetensorsFile(bytes: prefix + [0x7B, 0x7D], name: "a")
            }
        }
    }

    @Test("A type that is not supported is refused when its tensor is asked for, and only then")
    func unsupportedType() throws {
        for type in ["F64", "F8_E4M3", "I16", "NEW_TYPE"] {
            let second = Self.entry("U8", "[1]", "8", "9")
            let shape = ["F64": "[1]", "I16": "[4]"][type] ?? "[8]"
            let header = "{\"odd\":\(Self.entry(type, shape, "0", "8")),\"good\":\(second)}"
            let file = try SafetensorsFile(
                bytes: SampleTensors.file(header: header, dataByteCount: 9), name: "a")
            #expect(try SampleTensors.bytes(of: "good", in: file) == [0])
            let error = #expect(throws: CheckpointError.self) { try SampleTensors.bytes(of: "odd", in: file) }
            #expect(error?.description.contains("\"odd\"") == true)
            #expect(error?.description.contains(type) == true)
        }
    }

    @Test("A missing tensor, a missing file, a folder and a pipe are refused by name")
    func missing() throws {
        let folder = try TemporaryFolder()
        let empty = try SafetensorsFile(bytes: SampleTensors.file(header: "{}", dataByteCount: 0), name: "a")
        let error = #expect(throws: CheckpointError.self) { try empty.entry(of: "gone") }
        #expect(error?.description.contains("\"gone\"") == true)
        #expect(throws: CheckpointError.self) { try SafetensorsFile(url: folder.file("none.safetensors")) }
        #expect(throws: CheckpointError.self) { try SafetensorsFile(url: folder.url) }
        #expect(mkfifo(folder.file("pipe").path, 0o600) == 0)
        #expect(throws: CheckpointError.self) { try SafetensorsFile(url: folder.file("pipe")) }
    }

    @Test("A hostile name cannot steer the terminal that shows the message")
    func hostileName() throws {
        let name = "\\u001b[31m" + String(repeating: "x", count: 500)
        let header = "{\"\(name)\":\(Self.entry("F32", "[3]", "0", "8"))}"
        let error = #expect(throws: CheckpointError.self) {
            try SafetensorsFile(bytes: SampleTensors.file(header: header, dataByteCount: 8), name: "a")
        }
        let text = try #require(error?.description)
        #expect(!text.contains("\u{1B}"))
        #expect(text.count < 400)
    }

    @Test("The writer refuses what the format cannot hold and leaves the old file and nothing else")
    func unwritableContent() throws {
        let folder = try TemporaryFolder()
        let url = folder.file("a.safetensors")
        try Data("old".utf8).write(to: url)
        let good = TensorContent(name: "x", dtype: .u8, shape: [2], bytes: [1, 2])
        let rejected: [[TensorContent]] = [
            [good, good],
            [TensorContent(name: "__metadata__", dtype: .u8, shape: [2], bytes: [1, 2])],
            [TensorContent(name: "x", dtype: .u8, shape: [3], bytes: [1, 2])],
            [TensorContent(name: "x", dtype: .u8, shape: [1], bytes: [1, 2])],
            [TensorContent(name: "x", storedType: StoredType("NEW"), shape: [1], bytes: [1])],
            [TensorContent(name: "x", dtype: .f32, shape: [1 << 62], bytes: [])],
            [TensorContent(name: "x", dtype: .u8, shape: [2]) { _ in throw CancellationError() }],
        ]
        for (index, tensors) in rejected.enumerated() {
            #expect(throws: (any Error).self, "case \(index)") {
                try SafetensorsWriter.write(tensors, to: url)
            }
            #expect(try folder.names == ["a.safetensors"])
            #expect(try Data(contentsOf: url) == Data("old".utf8))
        }
    }
}
