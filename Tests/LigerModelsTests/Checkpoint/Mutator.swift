import TestSupport

/// Damages inputs the way files get damaged, and the way an attacker would.
struct Mutator {
    private static let numbers = [
        "-1", "0", "1", "2", "255", "-0", "2147483648", "4294967296", "4611686018427387904",
        "9223372036854775807",
        "-9223372036854775808", "9223372036854775808", "18446744073709551616", "1e999", "1.5",
        "99999999999999999999999",
    ]

    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func below(_ limit: Int) -> Int { limit > 0 ? Int.random(in: 0..<limit, using: &random) : 0 }

    /// `bytes` with one or two kinds of damage; `other` lends material for splices.
    mutating func damage(_ bytes: [UInt8], with other: [UInt8]) -> [UInt8] {
        var result = bytes
        for _ in 0...below(2) {
            switch below(7) {
            case 0: flipBits(&result)
            case 1: result.removeLast(below(result.count + 1))
            case 2: splice(&result, from: other)
            case 3: splice(&result, from: result)
            case 4: substituteNumber(&result)
            case 5: changeDigit(&result)
            default: overwrite(&result)
            }
        }
        return result
    }

    private mutating func flipBits(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        for _ in 0...below(4) { bytes[below(bytes.count)] ^= 1 << UInt8(below(8)) }
    }

    private mutating func splice(_ bytes: inout [UInt8], from source: [UInt8]) {
        let start = below(source.count + 1)
        let piece = source[start..<min(source.count, start + below(40))]
        let place = below(bytes.count + 1)
        bytes.replaceSubrange(place..<min(bytes.count, place + below(40)), with: piece)
    }

    private mutating func substituteNumber(_ bytes: inout [UInt8]) {
        let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
        let start = below(bytes.count)
        guard let first = bytes[start...].firstIndex(where: isDigit) else { return }
        let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: Self.numbers[below(Self.numbers.count)].utf8)
    }

    private mutating func changeDigit(_ bytes: inout [UInt8]) {
        let start = below(bytes.count)
        guard let place = bytes[start...].firstIndex(where: { (0x30...0x39).contains($0) }) else { return }
        bytes[place] = UInt8(0x30 + below(10))
    }

    private mutating func overwrite(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        let hostile = Array("{}[]\",:\\u0-e. ".utf8) + [0, 0x80, 0xC3, 0xFF]
        for _ in 0...below(3) { bytes[below(bytes.count)] = hostile[below(hostile.count)] }
    }
}
