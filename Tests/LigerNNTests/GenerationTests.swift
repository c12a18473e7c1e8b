import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Tokens read one by one, against the same read at once.
@Suite struct GenerationTests {
    /// Prompts shorter and longer than the positions that scores are computed for at a time.
    @Test(arguments: [1, 5, 63, 64, 70], [1, 2, 4]) func readsOneTokenAfterAnother(prompt: Int, kvHeads: Int)
        throws
    {
        let decoder = try SmallDecoder(kvHeads: kvHeads, headNorms: true).make()
        let ids = (0..<prompt + 8).map { Int32($0 * 7 % 37) }
        let whole = try decoder.logits(
            NDArray(copying: ids, [1, ids.count], dtype: .i32, device: .cpu), on: Tape(recording: false)
        ).value.doubles
        let cache = KeyValueCache(capacity: ids.count)
        for count in prompt...ids.count {
            let new = count == prompt ? Array(ids[..<prompt]) : [ids[count - 1]]
            let scores = try decoder.nextScores(new, cache).doubles
            #expect(cache.length == count)
            let expected = Array(whole[(count - 1) * 37..<count * 37])
            #expect(relativeError(scores, expected) < 2e-6, "token \(count)")
        }
    }

    /// A sequence that outgrows the model is refused, and the cache is as it was.
    @Test func refusesPositionsThatTheModelHasNot() throws {
        let decoder = try SmallDecoder().make()
        let cache = KeyValueCache(capacity: 200)
        _ = try decoder.nextScores((0..<128).map { Int32($0 % 37) }, cache)
        let error = #expect(throws: RuntimeError.self) { try decoder.nextScores([1], cache) }
        #expect(error?.description.contains("129 tokens for a model of 128 positions") == true)
        #expect(cache.length == 128)
    }

    /// A token out of the vocabulary stops a pass half way; the next one starts anew.
    @Test func goesOnAfterARefusedToken() throws {
        let decoder = try SmallDecoder().make()
        let (cache, other) = (KeyValueCache(capacity: 9), KeyValueCache(capacity: 9))
        _ = try decoder.nextScores([1, 2], cache)
        _ = try decoder.nextScores([1, 2], other)
        #expect(throws: (any Error).self) { try decoder.nextScores([99], cache) }
        #expect(try decoder.nextScores([3], cache).doubles == decoder.nextScores([3], other).doubles)
    }
}
