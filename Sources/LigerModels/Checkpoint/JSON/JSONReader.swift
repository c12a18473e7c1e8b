package import LigerText

/// Reads JSON strictly, one value at a time, without building a tree.
///
/// Stricter than the usual decoders where leniency hides damage: a repeated key, a lone surrogate, invalid
/// UTF-8, a number without a finite value and anything after the value are errors. Nesting is bounded, so
/// that a hostile file cannot exhaust the stack. Cost: one pass over the bytes.
package struct JSONReader {
    /// Deepest nesting that is accepted.
    package static let maximumDepth = 64

    private let bytes: [UInt8]
    private let file: String
    private let part: String
    private var position = 0
    private var depth = 0

    /// A reader at the first byte. `file` and `part` (such as "header") name the text in messages.
    package init(_ bytes: [UInt8], file: String, part: String) {
        self.bytes = bytes
        self.file = file
        self.part = part
    }

    /// Reads an object and calls `member` once per key; `member` must read the key's value.
    package mutating func readObject(_ member: (inout JSONReader, String) throws -> Void) throws {
        try readItems(from: "{", to: "}", expected: "an object") { reader, seen in
            let start = reader.position
            let key = try reader.readString()
            guard seen.insert(key).inserted else {
                throw reader.error(
                    "the key \(key.quoted) a second time", "each key once", at: start)
            }
            reader.skipSpace()
            guard reader.take(":") else { throw reader.error(reader.nextByte, "a colon after the key") }
            try member(&reader, key)
        }
    }

    /// Reads an array and calls `element` before each element; `element` must read it.
    package mutating func readArray(_ element: (inout JSONReader) throws -> Void) throws {
        try readItems(from: "[", to: "]", expected: "an array") { reader, _ in try element(&reader) }
    }

    /// Reads a string.
    package mutating func readString() throws -> String {
        skipSpace()
        let opening = position
        guard take("\"") else { throw error(nextByte, "a string") }
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                defer { position += 1 }
                return try text(bytes[start..<position], at: start)
            }
            if byte == UInt8(ascii: "\\") { return try readEscapedString(start: start) }
            if byte < 0x20 { throw error("a control character in a string", "an escape sequence") }
            position += 1
        }
        throw error("a string without an end", "a closing quotation mark", at: opening)
    }

    /// Reads a whole number that fits 64 bits; `1.0` and `1e3` are not whole numbers here.
    package mutating func readInteger() throws -> Int {
        skipSpace()
        let start = position
        guard case .integer(let value) = try readNumber() else {
            throw error("a number that is not whole or too large", "a whole number", at: start)
        }
        return value
    }

    /// Reads any value as a tree.
    package mutating func readValue() throws -> JSONValue {
        skipSpace()
        guard position < bytes.count else { throw error(nextByte, "a value") }
        switch bytes[position] {
        case UInt8(ascii: "{"):
            var members = JSONMembers()
            try readObject { reader, key in members[key] = try reader.readValue() }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try readArray { reader in elements.append(try reader.readValue()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try readString())
        case UInt8(ascii: "t"): return try readWord("true", .bool(true))
        case UInt8(ascii: "f"): return try readWord("false", .bool(false))
        case UInt8(ascii: "n"): return try readWord("null", .null)
        default: return try readNumber()
        }
    }

    /// Demands that nothing but white space is left.
    package mutating func finish() throws {
        skipSpace()
        guard position == bytes.count else { throw error(nextByte, "nothing after the value") }
    }

    /// An error of this text at the current or the given byte.
    package func error(_ found: String, _ expected: String, at offset: Int? = nil) -> CheckpointError {
        CheckpointError(
            file, "\(part), byte \(offset ?? position)", found: found, expected: expected,
            advice: "The file is damaged or not what its name says; fetch or write it again.")
    }
}

extension JSONReader {
    private mutating func readItems(
        from open: Unicode.Scalar, to close: Unicode.Scalar, expected: String,
        _ item: (inout JSONReader, inout Set<String>) throws -> Void
    ) throws {
        skipSpace()
        guard take(open) else { throw error(nextByte, expected) }
        guard depth < Self.maximumDepth else {
            throw error("deeper nesting", "at most \(Self.maximumDepth) levels")
        }
        depth += 1
        defer { depth -= 1 }
        skipSpace()
        if take(close) { return }
        var seen: Set<String> = []
        while true {
            try item(&self, &seen)
            skipSpace()
            if take(close) { return }
            guard take(",") else { throw error(nextByte, "a comma or \(close)") }
        }
    }

    private mutating func readWord(_ word: String, _ value: JSONValue) throws -> JSONValue {
        guard bytes[position...].starts(with: word.utf8) else { throw error(nextByte, "a value") }
        position += word.utf8.count
        return value
    }

    private mutating func readNumber() throws -> JSONValue {
        let start = position
        _ = take("-")
        let leadingZero = position < bytes.count && bytes[position] == UInt8(ascii: "0")
        let digits = skipDigits()
        guard digits > 0 else { throw error(nextByte, "a value", at: start) }
        guard !leadingZero || digits == 1 else { throw error("a leading zero", "a number", at: start) }
        var isWhole = true
        if take(".") {
            isWhole = false
            guard skipDigits() > 0 else { throw error(nextByte, "a digit after the point") }
        }
        if take("e") || take("E") {
            isWhole = false
            if !take("+") { _ = take("-") }
            guard skipDigits() > 0 else { throw error(nextByte, "a digit in the exponent") }
        }
        let literal = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let value = Int(literal) { return .integer(value) }
        guard let value = Double(literal), value.isFinite else {
            throw error("a number out of range", "a finite number", at: start)
        }
        return .number(value)
    }

    /// The rest of a string after its first backslash; `start` is the first byte after the quote.
    private mutating func readEscapedString(start: Int) throws -> String {
        var content = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(content[...], at: start)
            case UInt8(ascii: "\\"): content += Array(String(try readEscape()).utf8)
            case 0..<0x20:
                throw error("a control character in a string", "an escape sequence", at: position - 1)
            default: content.append(byte)
            }
        }
        throw error("a string without an end", "a closing quotation mark", at: start - 1)
    }

    private mutating func readEscape() throws -> Unicode.Scalar {
        guard position < bytes.count else { throw error(nextByte, "an escape sequence") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try readUnicodeEscape()
        default: throw error("an unknown escape sequence", "one that JSON has", at: position - 1)
        }
    }

    private mutating func readUnicodeEscape() throws -> Unicode.Scalar {
        let start = position
        let high = try readHexadecimal()
        if let scalar = Unicode.Scalar(high) { return scalar }
        if high < 0xDC00, take("\\"), take("u") {
            let low = try readHexadecimal()
            if (0xDC00..<0xE000).contains(low),
                let scalar = Unicode.Scalar(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
            {
                return scalar
            }
        }
        throw error("half of a surrogate pair", "both halves", at: start)
    }

    private mutating func readHexadecimal() throws -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue
            else { throw error(nextByte, "four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private func text(_ content: ArraySlice<UInt8>, at start: Int) throws -> String {
        if let text = String(validating: content, as: UTF8.self) { return text }
        // Escapes are ASCII, so the first byte of the file from here on that is not UTF-8 is the one.
        var (parser, iterator, offset) = (Unicode.UTF8.ForwardParser(), bytes[start...].makeIterator(), start)
        while case .valid(let scalar) = parser.parseScalar(from: &iterator) { offset += scalar.count }
        throw error("bytes that are not UTF-8", "UTF-8 text", at: offset)
    }

    private mutating func skipDigits() -> Int {
        let start = position
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) { position += 1 }
        return position - start
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard position < bytes.count, UInt32(bytes[position]) == scalar.value else { return false }
        position += 1
        return true
    }

    private var nextByte: String {
        guard position < bytes.count else { return "the end of the text" }
        let byte = bytes[position]
        return (0x21...0x7E).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "byte \(byte)"
    }
}
