package import LigerText

extension JSONReader {
    /// A reader at the first byte, whose errors are a `CheckpointError`. `file` and `part` (such as "header") name the
    /// text in messages.
    package init(_ bytes: [UInt8], file: String, part: String) {
        self.init(bytes) { found, expected, offset in
            CheckpointError(
                file, "\(part), byte \(offset)", found: found, expected: expected,
                advice: "The file is damaged or not what its name says; fetch or write it again.")
        }
    }
}
