internal import LigerNN

extension TrainingOptions.Execution {
    /// What the backward pass computes again instead of keeping it. Losses and gradients have the same bits whichever is
    /// chosen.
    public enum Recompute: String, Sendable, CaseIterable, Codable {
        /// Nothing.
        case none
        /// Everything within a decoder block but the block's input.
        case blocks
        /// Outputs of the fused norms and of the fused feed-forward gate.
        case selective
        /// As little as `memoryBudget` allows, block by block.
        case auto
    }

    /// What is wrong with the budget.
    var budgetProblems: [String] {
        guard let memoryBudget else { return [] }
        if recompute != .auto {
            return [
                "--memory-budget has no meaning with --recompute \(recompute.rawValue); give --recompute auto, or leave it "
                    + "out"
            ]
        }
        return memoryBudget < 1 ? ["--memory-budget is \(memoryBudget); it must be at least 1 byte"] : []
    }
}

extension TrainingOptions.Execution.Recompute {
    /// What that is in each block; a budget decides for `auto`, before which nothing is recomputed.
    var plan: RecomputationPlan {
        switch self {
        case .none, .auto: RecomputationPlan(.none)
        case .blocks: RecomputationPlan(.blocks)
        case .selective: RecomputationPlan(.selective)
        }
    }
}
