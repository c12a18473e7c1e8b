#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension RandomFill {
    /// Philox4x32-10 and the transforms on the host, in exact integers and Double: what the kernel is
    /// checked against.
    package enum Reference {
        package static func philox(counter: [UInt32], key: [UInt32]) -> [UInt32] {
            var (word, key) = (counter, key)
            for _ in 0..<10 {
                let first = UInt64(word[0]) * 0xD251_1F53, second = UInt64(word[2]) * 0xCD9E_8D57
                word = [
                    UInt32(second >> 32) ^ word[1] ^ key[0], UInt32(truncatingIfNeeded: second),
                    UInt32(first >> 32) ^ word[3] ^ key[1], UInt32(truncatingIfNeeded: first),
                ]
                key = [key[0] &+ 0x9E37_79B9, key[1] &+ 0xBB67_AE85]
            }
            return word
        }

        package static func uniform(_ place: Int, seed: UInt64, stream: UInt32) -> Double {
            unit(words(place, seed, stream)[0])
        }

        package static func normal(_ place: Int, seed: UInt64, stream: UInt32) -> Double {
            let words = words(place, seed, stream)
            let radius = (-2 * log(unit(words[0]) + 0x1p-24)).squareRoot()
            return radius * cos(2 * Double.pi * unit(words[1]))
        }

        private static func unit(_ word: UInt32) -> Double { Double(word >> 8) * 0x1p-24 }

        private static func words(_ place: Int, _ seed: UInt64, _ stream: UInt32) -> [UInt32] {
            philox(
                counter: [
                    UInt32(truncatingIfNeeded: place), UInt32(truncatingIfNeeded: place >> 32), stream, 0,
                ], key: [UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)])
        }
    }
}
