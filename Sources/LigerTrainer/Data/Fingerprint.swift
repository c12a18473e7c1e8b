/// 16 hexadecimal digits that change when any number does: what a resumed run compares.
///
/// FNV-1a over whole numbers; it finds changed data, not an adversary.
struct Fingerprint {
    private var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ number: Int32) {
        hash = (hash ^ UInt64(UInt32(bitPattern: number))) &* 0x0000_0100_0000_01B3
        hash ^= hash >> 29
    }

    var digits: String {
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
