import LigerText
public import Platform

/// A safetensors file opened for reading.
///
/// Opening reads and checks only the header; a tensor's bytes are read when asked for, from any thread.
/// Everything wrong with the file is a `CheckpointError` that names the file and the tensor.
public struct SafetensorsFile: Sendable {
    private enum Source: Sendable {
        case file(ReadOnlyFile)
        case memory([UInt8])
    }

    /// The file as the caller named it.
    public let path: String
    /// Every tensor by name.
    public let tensors: [String: TensorEntry]
    /// The strings under `__metadata__`.
    public let metadata: [String: String]

    private let source: Source

    /// Opens the file at `url` and checks its header against the file's size: dtypes, shapes and offsets
    /// agree, and the tensors cover the data without overlap or gap. Throws `CheckpointError`.
    public init(url: URL) throws {
        let file = try ReadOnlyFile(path: url.path)
        try self.init(.file(file), path: url.path, byteCount: file.byteCount) {
            try file.bytes(at: $0.lowerBound, count: $0.count)
        }
    }

    /// Reads a file that is already in memory; `name` stands for its path in messages.
    public init(bytes: [UInt8], name: String) throws {
        try self.init(.memory(bytes), path: name, byteCount: bytes.count) { Array(bytes[$0]) }
    }

    private init(
        _ source: Source, path: String, byteCount: Int, bytes: (Range<Int>) throws -> [UInt8]
    ) throws {
        let length = try SafetensorsHeader.byteCount(
            prefix: try bytes(0..<min(8, byteCount)), fileByteCount: byteCount, file: path)
        let header = try SafetensorsHeader(
            json: try bytes(8..<8 + length), dataByteCount: byteCount - 8 - length, file: path)
        self.source = source
        self.path = path
        tensors = header.tensors
        metadata = header.metadata
    }

    /// The description of a tensor. Throws `CheckpointError` when there is none of this name or when its
    /// element type is one that no kernel reads.
    public func entry(of name: String) throws -> TensorEntry {
        let subject = "tensor \(name.quoted)"
        guard let entry = tensors[name] else {
            throw CheckpointError(
                path, subject, found: "no tensor of this name", expected: "one",
                advice: "Check that the file belongs to this model and is complete.")
        }
        guard entry.dtype != nil else {
            throw CheckpointError(
                path, subject, found: "element type \(entry.storedType.rawValue.quoted)",
                expected: "F32, BF16, F16, I64, I32, U32, U8 or BOOL",
                advice: "Convert the tensor to one of these, for instance with torch, and save it again.")
        }
        return entry
    }

    /// Calls `body` with all bytes of a tensor (row-major, little-endian), valid until it returns.
    /// Costs one read and memory of the tensor's size; `read` needs no such memory.
    public func withBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        let count = try entry(of: name).byteRange.count
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        defer { buffer.deallocate() }
        try read(name, into: buffer)
        return try body(UnsafeRawBufferPointer(buffer))
    }

    /// Fills `destination` with a tensor's bytes from `offset` on; both in bytes. The stretch must be
    /// within the tensor.
    public func read(
        _ name: String, from offset: Int = 0, into destination: UnsafeMutableRawBufferPointer
    ) throws {
        let range = try entry(of: name).byteRange
        precondition(
            offset >= 0 && offset <= range.count && destination.count <= range.count - offset,
            "bytes \(offset)..<\(offset + destination.count) of a tensor of \(range.count)")
        let start = range.lowerBound + offset
        switch source {
        case .file(let file): try file.read(at: start, into: destination)
        case .memory(let bytes): destination.copyBytes(from: bytes[start..<start + destination.count])
        }
    }
}
