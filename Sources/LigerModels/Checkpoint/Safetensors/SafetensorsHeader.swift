import LigerText

/// The parsed and checked header of a safetensors file.
///
/// A file is the header's length (8 bytes, little-endian), the header (JSON), then the data. Everything in
/// it is taken for hostile: what survives this type is within the file, does not overlap, leaves no gap
/// and has the size its shape says, so that later code may trust it.
struct SafetensorsHeader: Sendable {
    /// Longest header that is accepted, as in the format's own library.
    static let maximumByteCount = 100_000_000
    /// Most extents of one tensor; the frameworks that write such files have the same bound.
    static let maximumRank = 64

    private(set) var tensors: [String: TensorEntry] = [:]
    private(set) var metadata: [String: String] = [:]

    private let file: String
    private let dataStart: Int
    private let dataByteCount: Int

    /// Checks the first 8 bytes against the size of the file and returns the header's length.
    static func byteCount(prefix: [UInt8], fileByteCount: Int, file: String) throws -> Int {
        guard prefix.count == 8 else {
            throw CheckpointError(
                file, "its size", found: "\(fileByteCount) bytes", expected: "at least 8",
                advice: "The file is cut short; fetch or write it again.")
        }
        // What git leaves where the file itself was not fetched.
        if prefix == Array("version ".utf8), fileByteCount < 1024 {
            throw CheckpointError(
                file, "the file", found: "a pointer of Git LFS", expected: "the weights that it points to",
                advice: "Fetch them: git lfs pull, in that folder.")
        }
        let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let limit = min(maximumByteCount, fileByteCount - 8)
        guard length <= UInt64(limit) else {
            throw CheckpointError(
                file, "the header's length", found: "\(length) bytes",
                expected: "at most \(limit) in a file of \(fileByteCount)",
                advice: "The file is cut short or not a safetensors file; fetch or write it again.")
        }
        return Int(length)
    }

    /// Parses the header's JSON for a file with `dataByteCount` bytes after it.
    init(json: [UInt8], dataByteCount: Int, file: String) throws {
        self.file = file
        self.dataByteCount = dataByteCount
        dataStart = 8 + json.count
        var reader = JSONReader(json, file: file, part: "header")
        guard json.first == UInt8(ascii: "{") else {
            throw reader.error(json.isEmpty ? "no header" : "another first byte", "an opening brace")
        }
        // Collected here because the closure may not change `self` while it is being initialised.
        var parsed: [String: TensorEntry] = [:]
        var strings: [String: String] = [:]
        let start = dataStart
        try reader.readObject { reader, name in
            if name == "__metadata__" {
                try reader.readObject { reader, key in strings[key] = try reader.readString() }
            } else {
                parsed[name] = try Self.readEntry(&reader, name: name, dataStart: start, file: file)
            }
        }
        try reader.finish()
        tensors = parsed
        metadata = strings
        for (name, entry) in tensors { try checkSize(of: name, entry) }
        try checkCoverage()
    }
}

extension SafetensorsHeader {
    private static func readEntry(
        _ reader: inout JSONReader, name: String, dataStart: Int, file: String
    ) throws -> TensorEntry {
        var type: String?
        var shape: [Int]?
        var offsets: [Int]?
        try reader.readObject { reader, key in
            switch key {
            case "dtype": type = try reader.readString()
            case "shape": shape = try readCounts(&reader, limit: maximumRank)
            case "data_offsets": offsets = try readCounts(&reader, limit: 2)
            default:
                throw reader.error(
                    "the key \(key.quoted) for tensor \(name.quoted)",
                    "dtype, shape and data_offsets")
            }
        }
        let subject = "tensor \(name.quoted)"
        guard let type, let shape, let offsets, offsets.count == 2 else {
            throw CheckpointError(
                file, subject, found: "an incomplete description",
                expected: "dtype, shape and two data_offsets", advice: damaged)
        }
        let (end, overflow) = offsets[1].addingReportingOverflow(dataStart)
        guard offsets[0] <= offsets[1], !overflow else {
            throw CheckpointError(
                file, subject, found: "data_offsets \(offsets)",
                expected: "a begin that is not after its end", advice: damaged)
        }
        return TensorEntry(
            storedType: StoredType(rawValue: type), shape: shape, byteRange: offsets[0] + dataStart..<end)
    }

    private static func readCounts(_ reader: inout JSONReader, limit: Int) throws -> [Int] {
        var counts: [Int] = []
        try reader.readArray { reader in
            let value = try reader.readInteger()
            guard value >= 0 else {
                throw reader.error("the number \(value)", "a number that is not negative")
            }
            guard counts.count < limit else { throw reader.error("more numbers", "at most \(limit)") }
            counts.append(value)
        }
        return counts
    }

    /// The bytes of a tensor are within the file and are as many as its shape says. Types the format does
    /// not have cannot be checked; they are refused when asked for.
    private func checkSize(of name: String, _ entry: TensorEntry) throws {
        let fileByteCount = dataStart + dataByteCount
        guard entry.byteRange.upperBound <= fileByteCount else {
            throw problem(
                name, found: "data up to byte \(entry.byteRange.upperBound)",
                expected: "at most \(fileByteCount), the size of the file")
        }
        guard TensorEntry.product(entry.shape) != nil else {
            throw problem(
                name, found: "shape \(entry.shape)", expected: "an element count that fits 64 bits")
        }
        guard entry.storedType.bitCount != nil else { return }
        guard let byteCount = TensorEntry.byteCount(of: entry.storedType, shape: entry.shape) else {
            throw problem(
                name, found: "shape \(entry.shape) of \(entry.storedType.rawValue)",
                expected: "whole bytes, at most 2^63 bits")
        }
        guard byteCount == entry.byteRange.count else {
            throw problem(
                name, found: "\(entry.byteRange.count) bytes",
                expected: "\(byteCount) for shape \(entry.shape) of \(entry.storedType.rawValue)")
        }
    }

    /// The tensors cover the data from its first to its last byte, once.
    private func checkCoverage() throws {
        let ordered = tensors.sorted {
            ($0.value.byteRange.lowerBound, $0.value.byteRange.upperBound, $0.key)
                < ($1.value.byteRange.lowerBound, $1.value.byteRange.upperBound, $1.key)
        }
        var covered = dataStart
        for (name, entry) in ordered {
            guard entry.byteRange.lowerBound == covered else {
                let overlaps = entry.byteRange.lowerBound < covered
                throw problem(
                    name,
                    found: overlaps ? "bytes that another tensor also claims" : "unclaimed bytes before it",
                    expected: "data from byte \(covered) on")
            }
            covered = entry.byteRange.upperBound
        }
        guard covered == dataStart + dataByteCount else {
            throw CheckpointError(
                file, "its size", found: "\(dataStart + dataByteCount) bytes",
                expected: "\(covered), the end of the last tensor", advice: Self.damaged)
        }
    }

    private func problem(_ name: String, found: String, expected: String) -> CheckpointError {
        CheckpointError(
            file, "tensor \(name.quoted)", found: found, expected: expected,
            advice: Self.damaged)
    }

    private static let damaged = "The file is damaged or cut short; fetch or write it again."
}
