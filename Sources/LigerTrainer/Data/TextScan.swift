internal import Platform

/// What a file's bytes are, found piece by piece: text or not, their checksum, and how they begin.
struct TextScan {
    /// Whether bytes are text, or why not.
    enum Verdict: Equatable {
        case text
        case empty, utf16, binary
        case notUTF8(TextBytes.Fault)
    }

    /// Bytes that are read at a time: a multiple of what checksums take.
    static let pieceSize = 1 << 20

    private var checksum = Checksum()
    /// The first bytes, without the byte order mark.
    private(set) var beginning: [UInt8] = []
    /// Bytes without the byte order mark.
    private(set) var byteCount = 0
    private var isFirst = true
    private var isUTF16 = false
    private var hasZero = false
    private var check = UTF8Check()

    /// Reads a file. Cost: read once, at about the speed of the disk; some MiB of memory.
    ///
    /// - Throws: `FileSystem.Failure`.
    init(file path: String) throws {
        try FileSystem.read(path, pieces: Self.pieceSize) { add($0) }
    }

    private mutating func add(_ piece: UnsafeRawBufferPointer) {
        guard let start = piece.baseAddress, piece.count > 0 else { return }
        checksum.add(piece)
        var bytes = piece
        if isFirst {
            isFirst = false
            isUTF16 = TextBytes.isUTF16(Array(piece.prefix(2)))
            let markLength = TextBytes.markLength(piece)
            bytes = UnsafeRawBufferPointer(rebasing: piece[markLength...])
            check.position = markLength
            beginning = Array(bytes)
        }
        byteCount += bytes.count
        hasZero = hasZero || memchr(start, 0, piece.count) != nil
        check.add(bytes)
    }

    /// What the bytes are.
    var verdict: Verdict {
        if byteCount == 0 { return .empty }
        if isUTF16 { return .utf16 }
        if hasZero { return .binary }
        return check.atEnd.map { .notUTF8($0) } ?? .text
    }

    /// The checksum of all bytes, in 16 hexadecimal digits.
    var digits: String { checksum.digits }
}

/// Finds where bytes that come piece by piece stop being UTF-8.
struct UTF8Check {
    /// How many bytes are good, and those before the first one.
    var position = 0
    private var line = 1
    /// Bytes at the end that may begin a character.
    private var open: [UInt8] = []
    private var fault: TextBytes.Fault?

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard fault == nil else { return }
        guard !open.isEmpty else { return take(bytes) }
        let joined = open + bytes
        open = []
        joined.withUnsafeBytes { take($0) }
    }

    private mutating func take(_ bytes: UnsafeRawBufferPointer) {
        let whole = UnsafeRawBufferPointer(rebasing: bytes.dropLast(TextBytes.unfinished(bytes)))
        if let found = TextBytes.firstFault(in: whole) {
            fault = TextBytes.Fault(
                byte: found.byte, line: line + found.line - 1, position: position + found.position)
            return
        }
        position += whole.count
        for byte in whole where byte == UInt8(ascii: "\n") { line += 1 }
        open = Array(bytes[whole.count...])
    }

    /// The first byte that does not belong to a character, if no more bytes come.
    var atEnd: TextBytes.Fault? {
        fault ?? open.first.map { TextBytes.Fault(byte: $0, line: line, position: position + 1) }
    }
}
