import Platform

extension RandomFill {
    /// The transforms in Double on the host: what the kernel is checked against.
    package enum Reference {
        package static func uniform(_ place: Int, seed: UInt64, stream: UInt32) -> Double {
            unit(words(place, seed, stream)[0])
        }

        package static func normal(_ place: Int, seed: UInt64, stream: UInt32) -> Double {
            let words = words(place, seed, stream)
            let radius = (-2 * log(unit(words[0]) + 0x1p-24)).squareRoot()
            return radius * cos(2 * Double.pi * unit(words[1]))
        }

        private static func unit(_ word: UInt32) -> Double { Double(word >> 8) * 0x1p-24 }

        private static func words(_ place: Int, _ seed: UInt64, _ stream: UInt32) -> SIMD4<UInt32> {
            let counter = SIMD4(
                UInt32(truncatingIfNeeded: place), UInt32(truncatingIfNeeded: place >> 32), stream, 0)
            return Philox.words(counter: counter, key: seed)
        }
    }
}
