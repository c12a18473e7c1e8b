package import LigerText

extension JSONValue {
    /// Parses a whole text; throws `CheckpointError` naming `file` and the byte.
    package init(parsing bytes: [UInt8], file: String) throws {
        var reader = JSONReader(bytes, file: file, part: "JSON")
        self = try reader.readValue()
        try reader.finish()
    }
}
