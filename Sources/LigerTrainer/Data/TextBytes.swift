/// Text as files hold it: UTF-8, after the byte order mark that some editors write.
enum TextBytes {
    /// Where bytes stop being UTF-8.
    struct Fault: Sendable, Equatable, CustomStringConvertible {
        let byte: UInt8
        /// Both counted from 1.
        let line: Int
        let position: Int

        /// "byte 0xE9 in line 3, the file's byte 57"
        var description: String {
            let digits = String(byte, radix: 16, uppercase: true)
            return "byte 0x\(byte < 16 ? "0" : "")\(digits) in line \(line), the file's byte \(position)"
        }
    }

    /// The text without the mark, which says nothing in UTF-8.
    static func withoutMark(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
    }

    /// Whether text begins with the mark of UTF-16, which many programs on Windows write.
    static func isUTF16(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
    }

    /// Bytes of the mark that a text begins with: 3 or 0.
    static func markLength(_ bytes: UnsafeRawBufferPointer) -> Int {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    /// How many bytes at the end begin a character that needs more.
    static func unfinished(_ bytes: some BidirectionalCollection<UInt8>) -> Int {
        for (count, byte) in bytes.suffix(3).reversed().enumerated() where byte & 0xC0 != 0x80 {
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > count + 1 ? count + 1 : 0
        }
        return 0
    }

    /// The first byte that does not belong to a character.
    static func firstFault(in bytes: some Collection<UInt8>) -> Fault? {
        if String(validating: bytes, as: UTF8.self) != nil { return nil }
        return walk(Array(bytes))
    }

    private static func walk(_ bytes: [UInt8]) -> Fault? {
        var parser = Unicode.UTF8.ForwardParser()
        var iterator = bytes.makeIterator()
        var (position, line) = (0, 1)
        while true {
            switch parser.parseScalar(from: &iterator) {
            case .valid(let scalar):
                if scalar.first == UInt8(ascii: "\n") { line += 1 }
                position += scalar.count
            case .emptyInput: return nil
            case .error: return Fault(byte: bytes[position], line: line, position: position + 1)
            }
        }
    }
}
