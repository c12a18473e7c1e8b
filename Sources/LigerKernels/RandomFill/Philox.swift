/// Philox4x32 with 10 rounds: four random words as a pure function of a counter and a key.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). The
/// kernel language has the same as `philox`; this one runs on the host.
package enum Philox {
    /// The four words for one counter. Cost: 20 multiplications.
    package static func words(counter: SIMD4<UInt32>, key: UInt64) -> SIMD4<UInt32> {
        var state = counter
        var keyLow = UInt32(truncatingIfNeeded: key)
        var keyHigh = UInt32(truncatingIfNeeded: key >> 32)
        for _ in 0..<10 {
            let first = UInt32(0xD251_1F53).multipliedFullWidth(by: state.x)
            let second = UInt32(0xCD9E_8D57).multipliedFullWidth(by: state.z)
            state = SIMD4(
                second.high ^ state.y ^ keyLow, second.low, first.high ^ state.w ^ keyHigh, first.low)
            keyLow &+= 0x9E37_79B9
            keyHigh &+= 0xBB67_AE85
        }
        return state
    }
}
