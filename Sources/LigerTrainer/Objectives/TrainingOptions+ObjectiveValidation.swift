import LigerLosses
internal import LigerNN

extension TrainingOptions {
    /// What is wrong with the objective, and with other options given with it.
    var objectiveProblems: [String] {
        let kind = objective.kind
        guard kind != .nextToken else { return objective.strayProblems }
        var problems = objective.strayProblems + objective.numberProblems
        if data == nil {
            problems.append("--objective \(kind.rawValue) needs --data, a JSONL file of its examples")
        }
        if kind != .sft, !kernels[.fusedLinearCrossEntropy] {
            problems.append(
                "--objective \(kind.rawValue) is computed with the output layer and has no plain code; leave "
                    + "--kernels liger, or add --fused-linear-cross-entropy")
        }
        return problems
    }
}

extension TrainingOptions.ObjectiveChoice {
    /// Options that this objective does not have.
    fileprivate var strayProblems: [String] {
        let given: [(option: String, isGiven: Bool, kinds: Set<Kind>)] = [
            ("--loss-type", lossType != nil, [.dpo, .grpo, .distill]),
            ("--beta", beta != nil, [.dpo, .orpo, .cpo, .simPO, .kto, .grpo, .distill]),
            ("--gamma", gamma != nil, [.simPO]),
            ("--label-smoothing", labelSmoothing != nil, [.dpo, .cpo, .simPO]),
            ("--alpha", alpha != nil, [.dpo, .orpo, .cpo, .simPO]),
            ("--temperature", temperature != nil, [.grpo, .distill]),
            ("--clip-ratio", clipRatio != nil, [.grpo]), ("--ratio", ratio != nil, [.grpo]),
            ("--scale-rewards", scalesRewards != nil, [.grpo]),
            ("--hard-weight", hardWeight != nil, [.distill]),
            ("--reference", reference != nil, [.dpo, .kto, .grpo]),
            ("--teacher", teacher != nil, [.distill]),
        ]
        return given.filter { $0.isGiven && !$0.kinds.contains(kind) }.map { option, _, kinds in
            let names = Kind.allCases.filter(kinds.contains).map(\.rawValue).joined(separator: ", ")
            return "\(option) has no meaning with --objective \(kind.rawValue); it is for \(names)"
        }
    }

    fileprivate var numberProblems: [String] {
        var problems = kindProblems
        func check(_ option: String, _ value: Double?, _ range: String, _ isGood: (Double) -> Bool) {
            guard let value, !(value.isFinite && isGood(value)) else { return }
            problems.append("\(option) is \(value); it must be \(range)")
        }
        switch kind {
        case .distill: check("--beta", beta, "from 0 to 1") { (0...1).contains($0) }
        case .grpo: check("--beta", beta, "a finite number of at least 0") { $0 >= 0 }
        default: check("--beta", beta, "a finite number above 0") { $0 > 0 }
        }
        check("--gamma", gamma, "a finite number") { _ in true }
        check("--alpha", alpha, "at least 0") { $0 >= 0 }
        check("--temperature", temperature, "a finite number above 0") { $0 > 0 }
        check("--hard-weight", hardWeight, "from 0 to 1") { (0...1).contains($0) }
        let smoothings = labelSmoothings
        check("--label-smoothing", labelSmoothing, smoothings.words) { smoothings.contains(Float($0)) }
        return problems
    }

    /// What the loss chosen is defined for.
    private var labelSmoothings: FusedLinearPreference.DPO.Range {
        guard case .dpo(let name) = resolvedLossType else {
            return FusedLinearPreference.DPO.Name.sigmoid.labelSmoothings
        }
        return name.labelSmoothings
    }

    private var kindProblems: [String] {
        var problems: [String] = []
        if kind == .distill, teacher == nil {
            problems.append("--objective distill needs --teacher, a folder with the model to learn from")
        }
        for (option, folder) in [("--reference", reference), ("--teacher", teacher)] where folder == "" {
            problems.append("\(option) is empty; give a folder")
        }
        let names = LossType.allCases.filter { $0.kind == kind }
        if let lossType, !names.isEmpty, lossType.kind != kind {
            problems.append(
                "--loss-type \(lossType.rawValue) is none of --objective \(kind.rawValue); it must be one of "
                    + names.map(\.rawValue).joined(separator: ", "))
        }
        if kind == .dpo, labelSmoothing != nil, resolvedSmoothing == nil {
            problems.append("--label-smoothing is for --loss-type exo_pair and robust; leave it out")
        }
        return problems + rewardProblems
    }

    private var rewardProblems: [String] {
        guard let formula = resolvedRewardFormula else { return [] }
        var problems: [String] = []
        if let clip = clipRatio {
            let isCut = resolvedClipRatio != nil
            if !isCut {
                problems.append(
                    "--clip-ratio has no meaning with --loss-type \(formula.rawValue), which cuts no ratios")
            } else if !(clip.low >= 0 && clip.low <= 1 && clip.high >= 0 && clip.high.isFinite) {
                problems.append(
                    "--clip-ratio is \(clip.low),\(clip.high); the first must be from 0 to 1, the second a finite number "
                        + "of at least 0")
            }
        }
        if ratio == .sequence, !formula.isClipped {
            problems.append(
                "--ratio sequence has no meaning with --loss-type \(formula.rawValue), whose ratios are of tokens"
            )
        }
        return problems
    }
}
