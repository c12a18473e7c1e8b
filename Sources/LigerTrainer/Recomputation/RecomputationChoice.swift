internal import LigerModels
package import LigerNN
package import LigerRuntime
internal import Tile

/// Chooses what a run computes again: as little as a budget of memory allows.
///
/// Plans are in one order, in which each computes again what those before it do, and more. The chosen plan is the first
/// that fits:
///
/// 1. Outputs of norms and activations are computed again first: they take no product.
/// 2. Products and attention follow, those with the fewest operations a byte first. A block's last product never is, where
///    its sum with the residual is kept as the next block's input.
/// 3. Whole blocks come last.
///
/// Each is taken up block by block from the first block on: what the first blocks keep is there the longest. What a plan
/// takes is found by a step on a device that records, so it is exact for any model.
///
/// A larger budget never gives a plan further on: levels are looked through in order, and between two of them the middle
/// is tried and half of the blocks ruled out, where a larger budget goes the same way or to the earlier half.
package final class RecomputationChoice {
    /// How many times an operation of attention counts against one of a product, which tensor cores do faster.
    private static let attentionWeight = 1.25

    private let description: ModelDescription
    private let options: TrainingOptions
    private let device: Device
    private let ranks: Int
    private let blockCount: Int
    private let work = RecomputableWork()
    private var estimates: [RecomputationPlan: MemoryEstimate] = [:]
    /// Of a block, each with what the one before it computes again, and more.
    package private(set) var levels: [RecomputedParts] = [[]]

    /// - Parameters:
    ///   - options: of one rank's own work.
    ///   - ranks: how many there are.
    /// - Throws: as `MemoryEstimate`.
    /// - Cost: some ten to twenty estimates with `chosen`, each some milliseconds.
    package init(
        _ description: ModelDescription, _ options: TrainingOptions, on device: Device, ranks: Int = 1
    ) throws {
        (self.description, self.options) = (description, options)
        (self.device, self.ranks) = (device, ranks)
        blockCount = description.configuration.layerCount
        try noteWork()
        try findLevels()
    }

    /// How many steps were recorded so far.
    package var estimateCount: Int { estimates.count }

    /// The plan for a budget.
    ///
    /// - Parameters:
    ///   - budget: bytes that arrays may take on the device.
    ///   - isAutomatic: whether nobody gave it.
    /// - Throws: `TrainerError` (`memoryTooSmall`) if no plan fits, with the least that one takes; as `MemoryEstimate`.
    package func chosen(_ budget: Int, isAutomatic: Bool) throws -> PlannedRecomputation {
        guard let level = try levels.indices.first(where: { try fits(uniform(levels[$0]), budget) }) else {
            throw try tooSmall(budget, isAutomatic: isAutomatic)
        }
        if level == 0 { return try described(uniform([]), budget, isAutomatic: isAutomatic) }
        var (tooFew, enough) = (0, blockCount)
        while enough - tooFew > 1 {
            let middle = (tooFew + enough) / 2
            if try fits(plan(level, middle), budget) { enough = middle } else { tooFew = middle }
        }
        return try described(plan(level, enough), budget, isAutomatic: isAutomatic)
    }

    /// The first blocks at a level, the others at the one before.
    private func plan(_ level: Int, _ count: Int) -> RecomputationPlan {
        RecomputationPlan((0..<blockCount).map { levels[$0 < count ? level : level - 1] })
    }

    private func uniform(_ parts: RecomputedParts) -> RecomputationPlan {
        RecomputationPlan([RecomputedParts](repeating: parts, count: blockCount))
    }

    private func fits(_ plan: RecomputationPlan, _ budget: Int) throws -> Bool {
        try estimate(plan).total <= budget
    }

    /// What a plan takes.
    package func estimate(_ plan: RecomputationPlan) throws -> MemoryEstimate {
        if let known = estimates[plan] { return known }
        let estimate = try description.memory(options, on: device, ranks: ranks, recomputing: plan)
        estimates[plan] = estimate
        return estimate
    }

    private func noteWork() throws {
        let device = device.recordingMemory()
        let model = try MemoryEstimate.decoder(description.configuration, options, on: device)
        let ids = try NDArray(
            empty: [options.rowsPerPass, options.sequenceLength], dtype: .i32, device: device)
        _ = try model.hidden(ids, on: Tape(plan: RecomputationPlan(.none), noting: work))
    }

    private func findLevels() throws {
        func kept(_ parts: RecomputedParts) throws -> Int { try estimate(uniform(parts)).activations }
        var parts: RecomputedParts = []
        if try kept(.elementwise) < kept([]) {
            parts = .elementwise
            levels.append(parts)
        }
        let before = try kept(parts)
        var costs: [(part: RecomputedParts, cost: Double)] = []
        for part in RecomputedParts.products {
            let saved = try before - kept(parts.union(part))
            guard saved > 0, let operations = work.operations[part] else { continue }
            let weight = part == .attention ? Self.attentionWeight : 1
            costs.append((part, weight * operations / Double(saved)))
        }
        costs.sort { ($0.cost, $0.part.rawValue) < ($1.cost, $1.part.rawValue) }
        for (part, _) in costs {
            parts.formUnion(part)
            levels.append(parts)
        }
        if try kept(.block) < kept(parts) { levels.append(.block) }
    }
}

extension RecomputationChoice {
    /// A plan with what it comes to.
    package func described(
        _ plan: RecomputationPlan, _ budget: Int, isAutomatic: Bool
    ) throws -> PlannedRecomputation {
        let estimate = try estimate(plan)
        var groups: [PlannedRecomputation.Group] = []
        var start = 0
        for block in 0..<blockCount where block + 1 == blockCount || plan[block + 1] != plan[block] {
            groups.append(try group(start...block, plan[block]))
            start = block + 1
        }
        let whole = (0..<blockCount).reduce(0) { $0 + operations($1, nil) }
        let repeated = (0..<blockCount).reduce(0) { $0 + operations($1, plan[$1]) }
        return PlannedRecomputation(
            budget: budget, isAutomatic: isAutomatic, plan: plan, expectedPeak: estimate.total,
            keptBytes: estimate.activations - (try outsideBytes()),
            repeatedShare: whole > 0 ? repeated / whole : 0, groups: groups)
    }

    private func group(
        _ blocks: ClosedRange<Int>, _ parts: RecomputedParts
    ) throws -> PlannedRecomputation.Group {
        let whole = blocks.reduce(0) { $0 + operations($1, nil) }
        let repeated = blocks.reduce(0) { $0 + operations($1, parts) }
        let kept = try estimate(uniform(parts)).activations - (try outsideBytes())
        return PlannedRecomputation.Group(
            first: blocks.lowerBound, last: blocks.upperBound, again: parts,
            repeatedShare: whole > 0 ? repeated / whole : 0, keptBytes: kept / blockCount)
    }

    /// Bytes that are there when blocks keep their inputs alone, less those.
    private func outsideBytes() throws -> Int {
        let configuration = description.configuration
        let input =
            options.rowsPerPass * options.sequenceLength * configuration.hiddenSize
            * options.dtype.byteCount
        return try estimate(uniform(.block)).activations - blockCount * input
    }

    /// Of a block's products and attention: those of some parts, or all.
    private func operations(_ block: Int, _ parts: RecomputedParts?) -> Double {
        (work.blocks[block] ?? [:]).reduce(0) { sum, entry in
            let counts = parts.map { $0.contains(.block) || $0.contains(entry.key) } ?? true
            return counts ? sum + entry.value : sum
        }
    }

    private func tooSmall(_ budget: Int, isAutomatic: Bool) throws -> TrainerError {
        let all = try levels.map { try estimate(uniform($0)) }
        let least = all.map(\.total).min() ?? 0
        let given =
            isAutomatic
            ? "What is free on \(options.device), less a reserve, is \(Format.bytes(budget))"
            : "--memory-budget is \(Format.bytes(budget)) (\(Format.integer(budget)) bytes)"
        return TrainerError(
            .memoryTooSmall,
            "\(given), but the run takes \(Format.bytes(least)) (\(Format.integer(least)) bytes) even if all that can be "
                + "is computed again: weights, gradients and optimiser alone take \(Format.bytes(all[0].least)).",
            remedy: "Lower --batch or --seq and raise --accumulate. Otherwise: "
                + MemoryCheck.advice(options, device, ofSeveral: ranks > 1))
    }
}
