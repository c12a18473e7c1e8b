/// The printable characters that byte-level vocabularies write bytes as.
///
/// Printable ASCII and Latin-1 stand for themselves; the other 68 bytes become U+0100, U+0101 and so on in order.
enum ByteAlphabet {
    /// The character's byte, by scalar value; -1 for scalars outside the alphabet.
    private static let byteOfScalar: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x100 + 68)
        var next = 0x100
        for byte in 0..<0x100 {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
                bytes[byte] = Int16(byte)
            default:
                bytes[next] = Int16(byte)
                next += 1
            }
        }
        return bytes
    }()

    /// The bytes that `token` writes, or nil when a character of it is not of the alphabet. `token` is UTF-8.
    static func bytes(of token: ArraySlice<UInt8>) -> [UInt8]? {
        token.withUnsafeBufferPointer { token in
            let text = UTF8Text(bytes: token)
            var bytes: [UInt8] = []
            bytes.reserveCapacity(token.count)
            var offset = 0
            while offset < token.count {
                let (value, length) = text.scalar(at: offset)
                guard value < byteOfScalar.count, let byte = UInt8(exactly: byteOfScalar[Int(value)]) else {
                    return nil
                }
                bytes.append(byte)
                offset += length
            }
            return bytes
        }
    }
}
