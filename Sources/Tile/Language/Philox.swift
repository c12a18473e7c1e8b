/// Four random words from a counter and a key: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
/// random numbers: as easy as 1, 2, 3" (SC 2011).
///
/// Words depend on counter and key alone, so any program can make those of any element. The counter's
/// words may be tiles, scalars or both; the key is best a scalar.
/// - Cost: 10 rounds of two 64-bit products and four exclusive ors.
public func philox(
    counter: (Tile<UInt32>, Tile<UInt32>, Tile<UInt32>, Tile<UInt32>),
    key: (Tile<UInt32>, Tile<UInt32>)
) -> (Tile<UInt32>, Tile<UInt32>, Tile<UInt32>, Tile<UInt32>) {
    // Multipliers and key increments of the paper; the increments are the golden ratio and √3 - 1.
    let first: UInt32 = 0xD251_1F53, second: UInt32 = 0xCD9E_8D57
    var (word, key) = (counter, key)
    for round in 0..<10 {
        if round > 0 { key = (key.0 + 0x9E37_79B9, key.1 + 0xBB67_AE85) }
        let high = (
            word.0.multipliedHigh(by: word.0.like(first)), word.2.multipliedHigh(by: word.2.like(second))
        )
        word = (high.1 ^ word.1 ^ key.0, word.2 * second, high.0 ^ word.3 ^ key.1, word.0 * first)
    }
    return word
}
