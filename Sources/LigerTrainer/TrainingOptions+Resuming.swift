internal import LigerNN
internal import Tile

extension TrainingOptions {
    /// An option that two runs have different values for.
    public struct Difference: Sendable, Equatable, CustomStringConvertible {
        /// As on the command line.
        public let option: String
        /// The value in the earlier run.
        public let before: String
        /// The value now.
        public let now: String

        /// "--lr was 0.001, is 0.002"
        public var description: String { "\(option) was \(before), is \(now)" }
    }

    /// The options whose change would make a resumed run another run. Where data is, where output goes,
    /// how often it is evaluated, saved and shown, and what is computed again may change; so may `--steps` when the rate does not
    /// depend on it, and when the run is prolonged.
    public func differences(from earlier: TrainingOptions) -> [Difference] {
        decisiveDifferences(from: earlier) + stepDifference(from: earlier)
    }

    /// Those that are known before the data is read, where `--epochs` may decide the steps: all but `--steps` and what follows
    /// from them.
    func differencesBeforeData(from earlier: TrainingOptions) -> [Difference] {
        decisiveDifferences(from: earlier).filter { $0.option != "--warmup" }
    }

    private func decisiveDifferences(from earlier: TrainingOptions) -> [Difference] {
        // What only one of two objectives has follows from the objective.
        let isOther = objective.kind != earlier.objective.kind
        let ofObjective: Set = ["--packing", "--loss-on", "--over-length", "--chat-date"]
        return zip(earlier.decisive, decisive).compactMap { before, now in
            before.value == now.value || isOther && ofObjective.contains(now.option)
                ? nil : Difference(option: now.option, before: before.value, now: now.value)
        }
    }

    private func stepDifference(from earlier: TrainingOptions) -> [Difference] {
        guard scheduleLength != earlier.scheduleLength, schedule != .constant || earlier.schedule != .constant
        else { return [] }
        return [
            Difference(
                option: "--steps", before: "\(earlier.steps)",
                now: "\(steps) (give --prolong to go on at the rate with which it ended)")
        ]
    }

    private var decisive: [(option: String, value: String)] {
        [
            ("--objective", objective.description), ("--model", model),
            ("--packing", "\(packsRows)"), ("--loss-on", instructions.resolvedLossOn.rawValue),
            ("--over-length", instructions.resolvedOverLength.rawValue),
            ("--chat-date", instructions.chatDate ?? "not set"),
            ("the adapter", adapter.description), ("--device", device.kind),
            ("--kernels", kernels.description),
            ("--batch", "\(batch)"), ("--seq", "\(sequenceLength)"), ("--dtype", dtype.rawValue),
            ("--lr", "\(learningRate)"), ("--seed", "\(seed)"), ("--schedule", schedule.rawValue),
            ("--min-ratio", "\(minimumRatio ?? schedule.defaultMinimumRatio)"),
            ("--warmup", "\(warmupSteps)"),
            ("--accumulate", "\(accumulate)"), ("--eval-fraction", "\(heldOutFraction)"),
            ("--weights", source.weights?.description ?? "not set"),
            ("--clip", "\(clip)"), ("--weight-decay", "\(weightDecay)"), ("--betas", "\(beta1),\(beta2)"),
            ("--epsilon", "\(epsilon)"), ("--products", execution.products.rawValue),
            ("--masters", execution.masters.rawValue),
            ("--moments", execution.moments.rawValue),
            ("--update-in-backward", "\(execution.updates == .inBackward)"),
            ("--gradients", execution.gradients.rawValue), ("--head", execution.head.rawValue),
            ("--loss-budget", execution.lossBudget.map(String.init) ?? "the device's"),
        ]
    }
}
