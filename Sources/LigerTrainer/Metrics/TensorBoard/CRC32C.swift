/// The cyclic redundancy check of Castagnoli, with the reversed polynomial 0x82F63B78 (RFC 3720, appendix B.4).
package enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }

    package static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
    }

    /// As event files have it: a checksum of bytes that hold checksums would be a weak one.
    static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let sum = checksum(bytes)
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }
}
