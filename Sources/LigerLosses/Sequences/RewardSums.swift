package import LigerRuntime
import Tile

/// Sums of rewards, which people watch while they train. They stay on the device, and those of several batches may
/// be added.
package enum RewardSums {
    /// Of pairs: [4], f32: the chosen answers' rewards, the rejected ones', how many pairs have the greater reward
    /// on the chosen side, and how many pairs there are.
    ///
    /// - Parameter rewards: [2 P], f32: of the chosen answers, then of the rejected ones.
    package static func ofPairs(_ rewards: NDArray) throws -> NDArray {
        let sums = try NDArray(empty: [4], device: rewards.device)
        try PairRewardSums().launch(programs: 1, ["rewards": rewards, "sums": sums])
        return sums
    }

    /// Of answers that are good or bad: [5], f32: the good ones' rewards, the bad ones', how many there are of each, and
    /// the divergence as often as there are answers.
    ///
    /// - Parameters:
    ///   - rewards: [B], f32.
    ///   - preferences: [B], u8, i32 or i64: 0 for a bad answer.
    ///   - divergence: [1], f32, which all of them were compared with.
    package static func ofAnswers(
        _ rewards: NDArray, preferences: NDArray, divergence: NDArray
    ) throws -> NDArray {
        let sums = try NDArray(empty: [5], device: rewards.device)
        try AnswerRewardSums(preferences: preferences.dtype).launch(
            programs: 1,
            [
                "rewards": rewards, "preferences": preferences.flattened, "divergence": divergence,
                "sums": sums,
            ])
        return sums
    }
}

/// One program.
struct PairRewardSums: TileKernel {
    func body(_ p: Program) {
        let rewards = p.input("rewards", .f32, rank: 1), sums = p.output("sums", .f32, rank: 1)
        let pairs = rewards.size(0) / 2, zero = p.index * 0, none = zero.float
        let (chosen, rejected, greater) = p.loop(from: zero, to: pairs, carrying: none, none, none) {
            i, chosen, rejected, greater in
            let (a, b) = (rewards[i], rewards[i + pairs])
            return (chosen + a, rejected + b, greater + (a > b).float)
        }
        for (i, sum) in [chosen, rejected, greater, pairs.float].enumerated() { sums[i] = sum }
    }
}

/// One program.
struct AnswerRewardSums: TileKernel {
    let preferences: DType

    func body(_ p: Program) {
        let rewards = p.input("rewards", .f32, rank: 1)
        let preferences = p.input("preferences", preferences, rank: 1, as: Int.self)
        let divergence = p.input("divergence", .f32, rank: 1)
        let sums = p.output("sums", .f32, rank: 1)
        let zero = p.index * 0, none = zero.float, count = rewards.size(0)
        let (good, bad, goodCount) = p.loop(from: zero, to: count, carrying: none, none, none) {
            i, good, bad, goodCount in
            let isGood = preferences[i] != 0, reward = rewards[i]
            return (
                good + select(isGood, reward, 0), bad + select(isGood, 0, reward), goodCount + isGood.float
            )
        }
        let all = [good, bad, goodCount, count.float - goodCount, divergence[0] * count.float]
        for (i, sum) in all.enumerated() { sums[i] = sum }
    }
}
