internal import Platform

/// Whole numbers of one width in a file, which is mapped and not read: only what is asked for takes memory.
///
/// The numbers are little-endian. The file must not be changed while it is mapped; it may lose its name.
final class MappedNumbers: Sendable {
    let count: Int
    /// Bytes of a number: 1, 2, 4 or 8.
    private let width: Int
    // Unsafe is right here: mapped before anybody reads it, unmapped when nobody can.
    private nonisolated(unsafe) let start: UnsafeMutableRawPointer?

    /// - Throws: `FileSystem.Failure`.
    init(_ path: String, width: Int) throws {
        let descriptor = try FileSystem.openFile(path, O_RDONLY)
        defer { close(descriptor) }
        guard let bytes = FileSystem.byteCount(of: path) else { throw FileSystem.Failure(path) }
        (count, self.width) = (bytes / width, width)
        guard bytes > 0 else {
            start = nil
            return
        }
        let memory = mmap(nil, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let memory, memory != MAP_FAILED else { throw FileSystem.Failure(path) }
        // Batches read here and there.
        madvise(memory, bytes, MADV_RANDOM)
        start = memory
    }

    deinit { if let start { munmap(start, count * width) } }

    /// Lets go of what was read: it counts as this process's memory until then.
    func release() { if let start { madvise(start, count * width, MADV_DONTNEED) } }

    /// Number `index`.
    subscript(index: Int) -> Int {
        precondition(0 <= index && index < count, "outside the numbers")
        guard let start else { return 0 }
        switch width {
        case 1: return Int(start.load(fromByteOffset: index, as: UInt8.self))
        case 2: return Int(UInt16(littleEndian: start.load(fromByteOffset: 2 * index, as: UInt16.self)))
        case 4: return Int(Int32(littleEndian: start.load(fromByteOffset: 4 * index, as: Int32.self)))
        default: return Int(Int64(littleEndian: start.load(fromByteOffset: 8 * index, as: Int64.self)))
        }
    }

    /// Some numbers that fit into 32 bits.
    subscript(range: Range<Int>) -> [Int32] { range.map { Int32(truncatingIfNeeded: self[$0]) } }
}

extension MappedNumbers {
    /// Bytes that each id of a vocabulary needs in a file.
    static func width(vocabulary: Int) -> Int { vocabulary <= 1 << 8 ? 1 : vocabulary <= 1 << 16 ? 2 : 4 }

    /// Numbers as they stand in a file.
    static func bytes(_ numbers: some Collection<some FixedWidthInteger>, width: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(numbers.count * width)
        for number in numbers {
            var rest = UInt64(truncatingIfNeeded: number)
            for _ in 0..<width {
                bytes.append(UInt8(truncatingIfNeeded: rest))
                rest >>= 8
            }
        }
        return bytes
    }
}
