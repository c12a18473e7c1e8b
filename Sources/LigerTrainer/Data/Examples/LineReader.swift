internal import Platform

/// Reads the examples of a file that comes piece by piece.
struct LineReader {
    private let path: String
    private let form: ExampleFile.Form
    /// What a line has so far.
    private var open: [UInt8] = []
    private var line = 1
    private var isFirst = true
    private var count = 0

    init(_ path: String, _ form: ExampleFile.Form) { (self.path, self.form) = (path, form) }

    /// Adds bytes, and hands over the examples that they complete.
    ///
    /// - Throws: `TrainerError` (`dataMalformed`); what `body` throws.
    mutating func add(_ piece: UnsafeRawBufferPointer, _ body: (ExampleFile.Example) throws -> Void) throws {
        var start = isFirst ? TextBytes.markLength(piece) : 0
        isFirst = isFirst && piece.isEmpty
        while true {
            let rest = UnsafeRawBufferPointer(rebasing: piece[start...])
            guard let end = Self.newline(in: rest) else {
                open.append(contentsOf: rest)
                return
            }
            open.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<end]))
            try endLine(body)
            start += end + 1
        }
    }

    /// Ends the file.
    ///
    /// - Throws: `TrainerError` (`dataMalformed`, `dataEmpty`); what `body` throws.
    mutating func finish(_ body: (ExampleFile.Example) throws -> Void) throws {
        try endLine(body)
        if count == 0 {
            throw TrainerError(.dataEmpty, "There is no example in \(path).", remedy: form.remedy)
        }
    }

    private mutating func endLine(_ body: (ExampleFile.Example) throws -> Void) throws {
        defer {
            line += 1
            open.removeAll(keepingCapacity: true)
        }
        if open.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { return }
        let example: ExampleFile.Example
        do {
            example = try ExampleReader(path, line: line, form).read(open)
        } catch  where count == 0 && beginsAList {
            throw TrainerError(
                .dataMalformed,
                "\(path) begins with [: it is one JSON array, where each line is to be an object.",
                remedy: "This makes it so: jq -c '.[]' \(path) > examples.jsonl")
        }
        try body(example)
        count += 1
    }

    /// Whether the line opens a list that goes on in other lines, or is one of objects.
    private var beginsAList: Bool {
        let text = open.filter { $0 > 0x20 }
        return text.first == UInt8(ascii: "[")
            && (text.last != UInt8(ascii: "]") || text.dropFirst().first == UInt8(ascii: "{"))
    }

    private static func newline(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let start = bytes.baseAddress, let found = memchr(start, 0x0A, bytes.count) else { return nil }
        return UnsafeRawPointer(found) - start
    }
}
