package import LigerRuntime
import Tile

extension Decoder {
    /// Scores of the token that follows the last of `ids`, [vocabulary], in the model's dtype.
    ///
    /// - Parameters:
    ///   - ids: the tokens that come next, i32: at first a prompt, then one at a time.
    ///   - cache: what was read before; takes these tokens in.
    /// - Throws: as `logits`.
    /// - Cost: one pass over the weights.
    package func nextScores(_ ids: [Int32], _ cache: KeyValueCache) throws -> NDArray {
        let device = embedding.weight.device
        let input = try NDArray(copying: ids, [1, ids.count], dtype: .i32, device: device)
        let tape = Tape(recording: false)
        do {
            let hidden = try hidden(input, on: tape, cache: cache)
            cache.advance(by: ids.count)
            let last = hidden.value.sliced(0, ids.count - 1..<ids.count)
            return try head.logits(tape.constant(last)).value.flattened
        } catch {
            cache.rewind()
            throw error
        }
    }
}
