/// A number that an objective reports in addition to the loss, under the name it has in metrics.jsonl.
public enum Figure: String, Sendable, Hashable, CaseIterable {
    /// Mean of β (log p - log p') over chosen, or good, answers.
    case chosenReward = "chosen_reward"
    /// The same over rejected, or bad, answers.
    case rejectedReward = "rejected_reward"
    /// The difference of these two.
    case rewardMargin = "reward_margin"
    /// The share of pairs whose chosen answer has the greater reward.
    case accuracy
    /// Mean of -log p over the chosen answers' tokens.
    case likelihoodLoss = "nll"
    /// An estimate of how far the model has gone from its reference, of KTO and GRPO.
    case divergence = "kl"
    /// The share of GRPO's tokens whose ratio was cut.
    case clippedShare = "clip_ratio"
    /// Mean loss per token with respect to the teacher.
    case softLoss = "soft_loss"
    /// Mean cross entropy of the next tokens.
    case hardLoss = "hard_loss"
    /// How unevenly routers send tokens to experts: K for even ones, with K experts a token.
    case routerLoss = "router_loss"

    /// As the progress display shows it.
    package func shown(_ value: Double) -> String {
        switch self {
        case .chosenReward: "chosen \(Format.decimal(value, places: 3))"
        case .rejectedReward: "rejected \(Format.decimal(value, places: 3))"
        case .rewardMargin: "margin \(Format.decimal(value, places: 3))"
        case .accuracy: "accuracy \(Format.percent(value))"
        case .likelihoodLoss: "nll \(Format.decimal(value, places: 4))"
        case .divergence: "kl \(Format.decimal(value, places: 3))"
        case .clippedShare: "clipped \(Format.percent(value))"
        case .softLoss: "soft \(Format.decimal(value, places: 4))"
        case .routerLoss: "routers \(Format.decimal(value, places: 3))"
        case .hardLoss: "hard \(Format.decimal(value, places: 4))"
        }
    }
}
