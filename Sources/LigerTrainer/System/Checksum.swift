internal import Platform

/// A 64-bit checksum of bytes: it finds damage, not an adversary.
///
/// Bytes are read as 64-bit words, dealt to four lanes in turn. A lane goes from s to rotate((s ^ word) p), with an odd
/// p; the lanes are then put together in the same way, and with them the number of bytes. Each of these maps is
/// one to one, in the state as in the word: a change within one word always shows, any other but for one in 2^64.
package struct Checksum {
    private static let factor: UInt64 = 0x9E37_79B9_7F4A_7C15
    /// Bytes that the lanes take together.
    private static let stride = 32
    /// Bytes read at a time: a multiple of the stride that stays in the second-level cache.
    private static let chunk = 1 << 18

    private var lanes: (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
    private var byteCount = 0

    private static func mixed(_ state: UInt64, _ word: UInt64) -> UInt64 {
        let product = (state ^ word) &* factor
        return product << 29 | product >> 35
    }

    /// - Parameter bytes: all but the last ones of a file come in multiples of the stride.
    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        byteCount += bytes.count
        var (a, b, c, d) = lanes
        var offset = 0
        func word(_ index: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8 * index, as: UInt64.self))
        }
        while offset + Self.stride <= bytes.count {
            a = Self.mixed(a, word(0))
            b = Self.mixed(b, word(1))
            c = Self.mixed(c, word(2))
            d = Self.mixed(d, word(3))
            offset += Self.stride
        }
        lanes = (a, b, c, d)
        guard offset < bytes.count else { return }
        // Filled up with zeros; the number of bytes tells them from zeros of the file.
        let rest =
            Array(bytes[offset...]) + [UInt8](repeating: 0, count: Self.stride - (bytes.count - offset))
        rest.withUnsafeBytes { add($0) }
        byteCount -= rest.count
    }

    /// Of all bytes, in 16 hexadecimal digits.
    var digits: String {
        var sum = Self.mixed(Self.factor, UInt64(byteCount))
        for lane in [lanes.0, lanes.1, lanes.2, lanes.3] { sum = Self.mixed(sum, lane) }
        let digits = String(sum ^ sum >> 32, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Of an array, in 16 hexadecimal digits.
    package static func digits(of bytes: [UInt8]) -> String {
        var sum = Checksum()
        bytes.withUnsafeBytes { sum.add($0) }
        return sum.digits
    }

    /// Of a file, in 16 hexadecimal digits.
    ///
    /// - Throws: `FileSystem.Failure`.
    /// - Cost: the file read once, at the speed of the disk or of memory; 256 KiB.
    package static func digits(ofFile path: String) throws -> String {
        var sum = Checksum()
        try FileSystem.read(path, pieces: chunk) { sum.add($0) }
        return sum.digits
    }
}
