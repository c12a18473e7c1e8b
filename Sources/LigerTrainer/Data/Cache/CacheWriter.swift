internal import LigerModels
internal import Platform

/// Writes the files of a cache's entry from front to back, with a few MiB of memory.
final class CacheWriter {
    private let key: CacheKey
    private let folder: String
    private let width: Int
    private let tokens: BufferedNumbers
    private var fields: BufferedNumbers?
    private var places: BufferedNumbers?
    private var fingerprint = Fingerprint()
    private var recordCount = 0

    /// - Parameters:
    ///   - folder: exists and is empty.
    ///   - hasRecords: whether tokens are those of examples.
    /// - Throws: `FileSystem.Failure`.
    init(_ key: CacheKey, in folder: String, vocabulary: Int, hasRecords: Bool) throws {
        (self.key, self.folder) = (key, folder)
        width = MappedNumbers.width(vocabulary: vocabulary)
        func file(_ name: String, _ width: Int) throws -> BufferedNumbers {
            try BufferedNumbers(FileSystem.join(folder, name), width: width)
        }
        tokens = try file(CacheEntry.tokensName, width)
        if hasRecords {
            fields = try file(CacheEntry.fieldsName, 4)
            places = try file(CacheEntry.placesName, 8)
        }
    }

    /// Adds tokens of a text.
    func add(_ ids: [Int32]) throws {
        for id in ids { fingerprint.add(id) }
        try tokens.add(ids)
    }

    /// Adds an example.
    func add(fields: [Int32], tokens ids: [Int32]) throws {
        try addPlaces()
        try self.fields?.add(fields)
        try tokens.add(ids)
        recordCount += 1
    }

    private func addPlaces() throws { try places?.add([tokens.count, fields?.count ?? 0]) }

    /// Writes what is left, and the header.
    func finish() throws {
        try addPlaces()
        for file in [tokens, fields, places].compactMap({ $0 }) { try file.flush() }
        let header = CacheEntry.Header(
            key: key, tokenCount: tokens.count, tokenWidth: width, recordCount: recordCount,
            fingerprint: places == nil ? fingerprint.digits : nil)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(header), as: UTF8.self)
        try AtomicFile.write(text + "\n", to: FileSystem.join(folder, CacheEntry.headerName))
    }
}

/// Numbers on their way into a file.
private final class BufferedNumbers {
    private let sink: FileSink
    private let width: Int
    private var waiting: [UInt8] = []
    private(set) var count = 0

    private static let bufferSize = 1 << 20

    init(_ path: String, width: Int) throws {
        sink = FileSink(descriptor: try FileSystem.openFile(path, O_WRONLY | O_CREAT | O_TRUNC), path: path)
        self.width = width
    }

    func add(_ numbers: [some FixedWidthInteger]) throws {
        waiting += MappedNumbers.bytes(numbers, width: width)
        count += numbers.count
        if waiting.count >= Self.bufferSize { try flush() }
    }

    func flush() throws {
        try sink.write(waiting)
        waiting.removeAll(keepingCapacity: true)
    }
}
