internal import LigerLosses
internal import LigerNN
internal import LigerRuntime

extension TrainingOptions {
    /// The objective itself; options must have passed `validate()`.
    ///
    /// - Parameters:
    ///   - model: the one that learns.
    ///   - frozen: the model it asks, where it asks one.
    func makeObjective(of model: Decoder, asking frozen: FrozenModel?) -> any Objective {
        let budget = execution.lossBudget.map { $0 << 20 }
        let sequences = SequenceOptions(budgetBytes: budget)
        switch objective.kind {
        case .nextToken, .sft:
            return NextToken(
                options: LossOptions(budgetBytes: budget), hasRouters: model.routerLossWeight != nil)
        case .dpo, .orpo, .cpo, .simPO:
            return Preferring(
                formula: objective.pairFormula, options: objective.pairOptions(sequences), reference: frozen)
        case .kto:
            guard let frozen else { preconditionFailure("KTO has a reference") }
            return Judging(
                options: .init(beta: Float(objective.resolvedBeta ?? 0), sequences: sequences),
                reference: frozen)
        case .grpo:
            guard let frozen else { preconditionFailure("GRPO has a reference") }
            var scored = sequences
            scored.temperature = Float(objective.resolvedTemperature ?? 1)
            return Reinforcing(
                options: objective.rewardOptions(longest: sequenceLength), sequences: scored,
                reference: frozen)
        case .distill:
            guard let frozen else { preconditionFailure("distillation has a teacher") }
            return Distilling(
                formula: objective.teacherFormula, options: objective.teacherOptions(sequences),
                teacher: frozen)
        }
    }
}

extension TrainingOptions.ObjectiveChoice {
    fileprivate var pairFormula: FusedLinearPreference.Formula {
        let smoothing = Float(resolvedSmoothing ?? 0)
        switch kind {
        case .cpo: return .cpo(labelSmoothing: smoothing)
        case .simPO: return .simPO(gamma: Float(resolvedGamma ?? 0), labelSmoothing: smoothing)
        case .orpo: return .orpo
        case .nextToken, .sft, .dpo, .kto, .grpo, .distill: return .dpo(relative(smoothing))
        }
    }

    private func relative(_ smoothing: Float) -> FusedLinearPreference.DPO {
        guard case .dpo(let name) = resolvedLossType else { return .sigmoid }
        return FusedLinearPreference.DPO(name, labelSmoothing: smoothing)
    }

    fileprivate func pairOptions(_ sequences: SequenceOptions) -> FusedLinearPreference.Options {
        let alpha = resolvedAlpha ?? 0
        return FusedLinearPreference.Options(
            beta: Float(resolvedBeta ?? 0), likelihoodWeight: alpha == 0 ? nil : Float(alpha),
            sequences: sequences)
    }

    /// - Parameter longest: of the answers, for Dr. GRPO.
    fileprivate func rewardOptions(longest: Int) -> GRPO.Options {
        let clip = resolvedClipRatio
        return GRPO.Options(
            formula: resolvedRewardFormula ?? .dapo, beta: Float(resolvedBeta ?? 0),
            epsilonLow: Float(clip?.low ?? 0.2), epsilonHigh: Float(clip?.high ?? 0.2),
            isPerSequence: resolvedRatio == .sequence, maximumLength: longest)
    }

    fileprivate var teacherFormula: FusedLinearDistillation.Formula {
        let beta = Float(resolvedBeta ?? 0)
        return resolvedLossType == .cosine ? .cosine(beta: beta) : .jensenShannon(beta: beta)
    }

    fileprivate func teacherOptions(_ sequences: SequenceOptions) -> FusedLinearDistillation.Options {
        let hard = Float(resolvedHardWeight ?? 0)
        var sequences = sequences
        sequences.temperature = Float(resolvedTemperature ?? 1)
        return FusedLinearDistillation.Options(
            hardWeight: hard, wantsHard: true, softWeight: 1 - hard, sequences: sequences)
    }
}
