import Foundation
import Testing

/// Damages a safetensors file in its header, the data left alone.
enum SafetensorsEditing {
    static func editHeader(
        _ path: String, _ change: (inout [String: [String: Any]]) throws -> Void
    ) throws {
        let bytes = try SmallRun.bytes(path)
        let length = bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        let json = try JSONSerialization.jsonObject(with: bytes[8..<8 + length])
        var header = try #require(json as? [String: [String: Any]])
        try change(&header)
        var text = try JSONSerialization.data(withJSONObject: header)
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - text.count % 8) % 8))
        let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        try (Data(prefix) + text + bytes[(8 + length)...]).write(to: URL(fileURLWithPath: path))
    }

    static func truncate(_ path: String) throws {
        let bytes = try SmallRun.bytes(path)
        try bytes.prefix(bytes.count - 100).write(to: URL(fileURLWithPath: path))
    }

    /// Lists a checkpoint's files anew, without checksums: as if they had been written like this before there were any.
    static func seal(_ folder: String) throws {
        let path = "\(folder)/manifest.json"
        let json = try JSONSerialization.jsonObject(with: SmallRun.bytes(path))
        var manifest = try #require(json as? [String: Any])
        let names = try #require(manifest["files"] as? [String: Int]).keys
        manifest["files"] = try Dictionary(
            uniqueKeysWithValues: names.map { ($0, try SmallRun.bytes("\(folder)/\($0)").count) })
        manifest["checksums"] = nil
        try JSONSerialization.data(withJSONObject: manifest).write(to: URL(fileURLWithPath: path))
    }
}
