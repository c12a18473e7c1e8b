/// A view of valid UTF-8 that reads one scalar at a time.
///
/// The caller keeps the memory alive and vouches that it is valid UTF-8; offsets passed in are scalar boundaries.
struct UTF8Text {
    let bytes: UnsafeBufferPointer<UInt8>

    var count: Int { bytes.count }

    /// The scalar at `offset` and its length in bytes.
    @inline(__always)
    func scalar(at offset: Int) -> (value: UInt32, length: Int) {
        let first = UInt32(bytes[offset])
        if first < 0x80 { return (first, 1) }
        let second = UInt32(bytes[offset + 1] & 0x3F)
        if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
        let third = UInt32(bytes[offset + 2] & 0x3F)
        if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
        let fourth = UInt32(bytes[offset + 3] & 0x3F)
        return ((first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
    }

    /// The offset of the scalar that ends just before `offset`, which is not 0.
    func start(before offset: Int) -> Int {
        var start = offset - 1
        while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return start
    }

    /// The class of the scalar at `offset` and its length in bytes.
    @inline(__always)
    func characterClass(at offset: Int, table: UnsafePointer<CharacterClass>) -> (CharacterClass, length: Int)
    {
        let (value, length) = scalar(at: offset)
        if value < UInt32(CharacterClass.tableSize) { return (table[Int(value)], length) }
        return (Unicode.Scalar(value).map { CharacterClass($0) } ?? .other, length)
    }
}
