internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Platform

/// What a run computes again: as its options say, as its record says, or as its budget allows.
struct RunRecomputation {
    let plan: RecomputationPlan
    /// What the run takes with it.
    let memory: MemoryEstimate
    /// Nil where no budget decided.
    let planned: PlannedRecomputation?
    /// Whether the plan is that of the run's earlier part.
    private let isResumed: Bool

    /// All ranks go by rank 0's plan.
    ///
    /// - Parameters:
    ///   - options: of all ranks together.
    ///   - available: bytes that can be had on the device.
    /// - Throws: `TrainerError` (`memoryTooSmall`) if no plan fits, or the earlier part's does not any more.
    init(
        _ description: ModelDescription, _ options: TrainingOptions, on device: Device, ranks: Ranks,
        available: Int?
    ) throws {
        let own = options.share(of: ranks.count)
        guard own.execution.recompute == .auto else {
            (plan, planned, isResumed) = (own.execution.recompute.plan, nil, false)
            memory = try description.memory(own, on: device, ranks: ranks.count)
            return
        }
        let decision = try ranks.told {
            let choice = try RecomputationChoice(description, own, on: device, ranks: ranks.count)
            if let earlier = Self.earlier(options, blocks: description.configuration.layerCount),
                let planned = try Self.continued(earlier, choice, own, available)
            {
                return Decision(planned: planned, isResumed: true)
            }
            let budget = try own.execution.memoryBudget ?? Self.automaticBudget(on: device, available)
            let planned = try choice.chosen(budget, isAutomatic: own.execution.memoryBudget == nil)
            return Decision(planned: planned, isResumed: false)
        }
        (planned, isResumed, plan) = (decision.planned, decision.isResumed, decision.planned.plan)
        memory = try description.memory(own, on: device, ranks: ranks.count, recomputing: plan)
    }

    private struct Decision: Codable {
        let planned: PlannedRecomputation
        let isResumed: Bool
    }

    /// A few lines for people.
    var lines: [String] {
        guard let planned else { return [] }
        return planned.lines + (isResumed ? ["        as the run was planned when it began"] : [])
    }

    /// The plan of the run that is to be resumed, if there is one of the same budget.
    private static func earlier(_ options: TrainingOptions, blocks: Int) -> PlannedRecomputation? {
        guard options.resume else { return nil }
        var path = options.out
        var number = 1
        while let record = try? RunDirectory.record(at: path) {
            let before = record.options.execution
            if let planned = record.recomputation, planned.plan.blocks.count == blocks,
                before.recompute == .auto, before.memoryBudget == options.execution.memoryBudget,
                options.differences(from: record.options).isEmpty
            {
                return planned
            }
            if !options.newIfDifferent { return nil }
            number += 1
            path = "\(options.out)-\(number)"
        }
        return nil
    }

    /// The plan of a run's earlier part with what it comes to now; nil if its budget does not hold it, as with fewer
    /// ranks.
    ///
    /// - Throws: `TrainerError` (`memoryTooSmall`) if what was free is not any more.
    private static func continued(
        _ earlier: PlannedRecomputation, _ choice: RecomputationChoice, _ own: TrainingOptions,
        _ available: Int?
    ) throws -> PlannedRecomputation? {
        let planned = try choice.described(
            earlier.plan, earlier.budget, isAutomatic: earlier.isAutomatic)
        let total = planned.expectedPeak
        if let budget = own.execution.memoryBudget { return total <= budget ? planned : nil }
        guard let available, total > available, own.memoryLimit == .enforced else { return planned }
        throw TrainerError(
            .memoryTooSmall,
            "The run goes on as it was planned when it began, which takes \(Format.bytes(total)), and there are "
                + "\(Format.bytes(available)) of memory free on \(own.device).",
            remedy:
                "Make that much free, or give --memory-budget: the run is then planned anew, with the same bits."
        )
    }

    /// What is free, less 6% of a GPU's memory, or a quarter of what the system has free.
    ///
    /// - Throws: `TrainerError` (`memoryTooSmall`) where the system does not say.
    private static func automaticBudget(on device: Device, _ available: Int?) throws -> Int {
        if let memory = try device.driverMemory() { return max(1, memory.free - memory.total / 100 * 6) }
        guard let available else {
            throw TrainerError(
                .memoryTooSmall, "The system does not say how much memory is free.",
                remedy: "Give --memory-budget, or another --recompute than auto.")
        }
        return max(1, available - available / 4)
    }
}
