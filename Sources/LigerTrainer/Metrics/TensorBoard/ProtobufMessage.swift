/// A message of Protocol Buffers, of the few kinds of fields that events have.
struct ProtobufMessage {
    private(set) var bytes: [UInt8] = []

    mutating func add(_ field: Int, _ value: Double) {
        bytes += Self.varint(UInt64(field << 3 | 1)) + value.bitPattern.littleEndianBytes
    }

    mutating func add(_ field: Int, _ value: Float) {
        bytes += Self.varint(UInt64(field << 3 | 5)) + value.bitPattern.littleEndianBytes
    }

    mutating func add(_ field: Int, _ value: Int) {
        bytes += Self.varint(UInt64(field << 3)) + Self.varint(UInt64(bitPattern: Int64(value)))
    }

    mutating func add(_ field: Int, _ value: String) { add(field, bytes: Array(value.utf8)) }
    mutating func add(_ field: Int, _ value: ProtobufMessage) { add(field, bytes: value.bytes) }

    private mutating func add(_ field: Int, bytes content: [UInt8]) {
        bytes += Self.varint(UInt64(field << 3 | 2)) + Self.varint(UInt64(content.count)) + content
    }

    /// Seven bits a byte, the lowest first; all but the last byte have the eighth set.
    private static func varint(_ value: UInt64) -> [UInt8] {
        var (value, bytes) = (value, [UInt8]())
        while value >= 0x80 {
            bytes.append(UInt8(value & 0x7F) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }
}

extension FixedWidthInteger {
    /// The lowest byte first.
    var littleEndianBytes: [UInt8] { withUnsafeBytes(of: littleEndian, Array.init) }
}
