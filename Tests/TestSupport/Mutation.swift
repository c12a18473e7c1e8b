/// Changes that a damaged or hostile text file may have: bytes, bits, parts, numbers, and pieces of its own syntax.
package struct Mutation: Sendable {
    private let splices: [[UInt8]]
    private let changes: Int
    private let longest: Int

    /// - Parameters:
    ///   - splices: what the file's parser may stumble on, wherever it stands.
    ///   - changes: how many a file has at most.
    ///   - longest: how many bytes one takes away or repeats at most.
    package init(splices: [String], changes: Int, longest: Int) {
        self.splices = splices.map { Array($0.utf8) }
        (self.changes, self.longest) = (changes, longest)
    }

    /// The file after one change or more.
    package func mutate(_ original: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...changes, using: &random) where !bytes.isEmpty {
            change(&bytes, &random)
        }
        return bytes
    }

    private func change(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
        let start = Int.random(in: 0..<bytes.count, using: &random)
        let end = min(bytes.count, start + Int.random(in: 1...longest, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes[start] = UInt8.random(in: .min ... .max, using: &random)
        case 1: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes.removeSubrange(start..<end)
        case 3: bytes.insert(contentsOf: bytes[start..<end], at: start)
        case 4: bytes.replaceSubrange(start..<end, with: splices.randomElement(using: &random) ?? [])
        case 5: bytes.insert(contentsOf: splices.randomElement(using: &random) ?? [], at: start)
        case 6: replaceNumber(in: &bytes, from: start, &random)
        default:
            if Int.random(in: 0..<8, using: &random) == 0 { bytes.removeSubrange(start...) }
        }
    }

    /// Replaces the next number of the file, which mostly keeps its syntax.
    private func replaceNumber(
        in bytes: inout [UInt8], from start: Int, _ random: inout SeededGenerator
    ) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let first = bytes[start...].firstIndex(where: { digits.contains($0) }) else { return }
        let end = bytes[first...].firstIndex { !digits.contains($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: String(Int.random(in: 0...300, using: &random)).utf8)
    }
}
