import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension OperationFamily {
    /// Losses of a linear layer's logits over sequences, pairs and teachers. All return the gradients of
    /// `input`, `weight` and `bias` that `needs` has bits for; with the bit 8 those in f16 still have to be multiplied
    /// by `input_scales`, `weight_scales` (a number for each row of them) and `bias_scales` (one number).
    static let sequenceLosses = [
        fusedLinearPreference, fusedLinearKTO, fusedLinearGRPO, fusedLinearDistillation,
    ]

    // formula: of DPO, cpo, simpo or orpo. The reference model is of DPO.
    private static let fusedLinearPreference = OperationFamily(
        FusedLinearPreference.self,
        Operation("fused_linear_preference") { s in
            let head = HeadInputs(&s), labels = s.input("labels")
            let likelihoodLabels = s.optionalInput("likelihood_labels")
            let reference = OtherHeadInputs(&s, "reference_")
            let beta = s.number("beta"), formula = PairFormulaOptions(&s)
            let likelihoodWeight = s.optionalNumber("likelihood_weight"), averages = s.flag("averages")
            let sequences = SequenceChoices(&s)
            s.output("loss", [], .f32)
            s.output("nll", [], .f32)
            s.output("answers", [.size(0, of: labels)], .f32)
            s.output("rewards", [.size(0, of: labels)], .f32)
            s.output("logit_means", [.constant(2)], .f32)
            s.output("odds_means", [.constant(2)], .f32, when: .is(formula.name, .orpo))
            head.gradients(&s, sequences.needs)
            return { a in
                let r = try FusedLinearPreference.forward(
                    formula.read(a), head: head.read(a), labels: a[labels],
                    likelihoodLabels: a[likelihoodLabels], reference: reference.read(a).map { .layer($0) },
                    options: FusedLinearPreference.Options(
                        beta: a[beta], likelihoodWeight: a[likelihoodWeight], averages: a[averages],
                        sequences: sequences.read(a)),
                    needs: a[sequences.needs])
                return [r.loss, r.nll, r.logProbabilities, r.rewards, r.logitMeans, r.oddsMeans]
                    + [r.dInput, r.dWeight, r.dBias] + r.scales.all
            }
        })

    // sums: [3, 2], of good and of bad answers: log-probabilities, logits, rewards.
    private static let fusedLinearKTO = OperationFamily(
        FusedLinearKTO.self,
        Operation("fused_linear_kto") { s in
            let head = HeadInputs(&s), labels = s.input("labels"), preferences = s.input("preferences")
            let reference = OtherHeadInputs(&s, "reference_"), divergence = s.optionalInput("divergence")
            let beta = s.number("beta"), averages = s.flag("averages"), sequences = SequenceChoices(&s)
            s.output("loss", [], .f32)
            s.output("sums", [.constant(3), .constant(2)], .f32)
            head.gradients(&s, sequences.needs)
            return { a in
                let r = try FusedLinearKTO.forward(
                    head: head.read(a), labels: a[labels], preferences: a[preferences],
                    reference: reference.read(a).map { .layer($0) }, divergence: a[divergence],
                    options: FusedLinearKTO.Options(
                        beta: a[beta], averages: a[averages], sequences: sequences.read(a)),
                    needs: a[sequences.needs])
                return [r.loss, r.sums, r.dInput, r.dWeight, r.dBias] + r.scales.all
            }
        })

    // The reference is a layer, or log-probabilities.
    private static let fusedLinearGRPO = OperationFamily(
        FusedLinearGRPO.self,
        Operation("fused_linear_grpo") { s in
            let head = HeadInputs(&s), samples = SampleInputs(&s)
            let reference = OtherHeadInputs(&s, "reference_"), options = GRPOOptions(&s)
            let sequences = SequenceChoices(&s)
            s.output("loss", [], .f32)
            s.output("divergence", [], .f32)
            s.output("clip_ratio", [], .f32)
            head.gradients(&s, sequences.needs)
            return { a in
                let r = try FusedLinearGRPO.forward(
                    head: head.read(a), samples: samples.read(a), reference: reference.read(a),
                    options: options.read(a), sequences: sequences.read(a), needs: a[sequences.needs])
                return [r.loss, r.divergence, r.clipRatio, r.dInput, r.dWeight, r.dBias] + r.scales.all
            }
        },
        grpo)

    // The same of logits at hand, [B, T or more, V]. tokens: [B, 3, T], of each token the loss, the divergence and
    // whether its ratio was cut. dlogits: of the whole loss, for `loss_upstream`, [1], or else 1; or of the tokens' for
    // `upstream`, [B, T].
    private static let grpo = Operation("grpo") { s in
        let logits = s.input("logits"), samples = SampleInputs(&s)
        let upstream = s.optionalInput("upstream"), lossUpstream = s.optionalInput("loss_upstream")
        let options = GRPOOptions(&s)
        let temperature = s.number("temperature", default: 1), needsGradient = s.flag("needs_gradient")
        s.output("loss", [], .f32)
        s.output("divergence", [], .f32)
        s.output("clip_ratio", [], .f32)
        let (batch, length) = (Sizes.size(0, of: samples.tokens), Sizes.size(1, of: samples.tokens))
        s.output("tokens", [batch, .constant(3), length], .f32)
        s.output("log_probabilities", [batch, length], .f32)
        s.output("dlogits", like: logits, when: .on(needsGradient))
        return { a in
            let r = try GRPO.forward(
                logits: a[logits], samples: samples.read(a), options: options.read(a),
                temperature: a[temperature])
            let gradient = a[needsGradient] ? try a[logits].copy() : nil
            if let gradient {
                try GRPO.backward(
                    overwriting: gradient, r, upstream: a[upstream], lossUpstream: a[lossUpstream])
            }
            return [r.loss, r.divergence, r.clipRatio, r.tokens, r.logProbabilities, gradient]
        }
    }

    // formula: jsd, cosine or kl. The teacher is a layer; probabilities for kl.
    private static let fusedLinearDistillation = OperationFamily(
        FusedLinearDistillation.self,
        Operation("fused_linear_distillation") { s in
            let student = HeadInputs(&s), teacher = OtherHeadInputs(&s, "teacher_")
            let probabilities = s.optionalInput("teacher"), labels = s.optionalInput("labels")
            let formula = s.choice("formula", default: DistillationFormula.jsd)
            let beta = s.number("beta", default: 0.5), eps = s.number("eps", default: 1e-10)
            let hardWeight = s.number("hard_weight", default: 0), wantsHard = s.flag("wants_hard")
            let softWeight = s.number("soft_weight", default: 1), sequences = SequenceChoices(&s)
            s.output("loss", [], .f32)
            s.output("soft", [], .f32)
            s.output("hard", [], .f32, when: .any([.on(wantsHard), .isNotZero(hardWeight)]))
            student.gradients(&s, sequences.needs)
            return { a in
                let layer = try teacher.read(a).map { FusedLinearDistillation.Teacher.layer($0) }
                guard let teacher = layer ?? a[probabilities].map({ .probabilities($0) }) else {
                    throw RuntimeError(
                        "fused_linear_distillation needs the inputs 'teacher_input' and 'teacher_weight', or "
                            + "'teacher'; neither was given")
                }
                let r = try FusedLinearDistillation.forward(
                    a[formula].formula(beta: a[beta], eps: a[eps]), student: student.read(a),
                    teacher: teacher, labels: a[labels],
                    options: FusedLinearDistillation.Options(
                        hardWeight: a[hardWeight], wantsHard: a[wantsHard], softWeight: a[softWeight],
                        sequences: sequences.read(a)),
                    needs: a[sequences.needs])
                return [r.loss, r.soft, r.hard, r.dInput, r.dWeight, r.dBias] + r.scales.all
            }
        })
}

private struct PairFormulaOptions {
    enum Name: RawRepresentable, CaseIterable {
        case dpo(FusedLinearPreference.DPO.Name)
        case cpo, simPO, orpo

        static let allCases = FusedLinearPreference.DPO.Name.allCases.map(Self.dpo) + [.cpo, .simPO, .orpo]

        init?(rawValue: String) {
            guard let found = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
            self = found
        }

        var rawValue: String {
            switch self {
            case .dpo(let name): name.rawValue
            case .cpo: "cpo"
            case .simPO: "simpo"
            case .orpo: "orpo"
            }
        }
    }

    let name: Option<Name>
    private let smoothing, tau, gamma: Option<Float>

    init(_ s: inout Signature) {
        name = s.choice("formula", default: .dpo(.sigmoid))
        smoothing = s.number("label_smoothing", default: 0)
        tau = s.number("tau", default: 0.05)
        gamma = s.number("gamma", default: 0.5)
    }

    func read(_ a: Arguments) -> FusedLinearPreference.Formula {
        let smoothing = a[smoothing]
        return switch a[name] {
        case .dpo(let name): .dpo(FusedLinearPreference.DPO(name, labelSmoothing: smoothing, tau: a[tau]))
        case .cpo: .cpo(labelSmoothing: smoothing)
        case .simPO: .simPO(gamma: a[gamma], labelSmoothing: smoothing)
        case .orpo: .orpo
        }
    }
}

private struct SampleInputs {
    let tokens: Input<NDArray>
    private let advantages: Input<NDArray>
    private let mask, old, reference, samplerRatio, normaliser: Input<NDArray?>

    init(_ s: inout Signature) {
        tokens = s.input("tokens")
        mask = s.optionalInput("mask")
        advantages = s.input("advantages")
        old = s.optionalInput("old")
        reference = s.optionalInput("reference")
        samplerRatio = s.optionalInput("sampler_ratio")
        normaliser = s.optionalInput("normaliser")
    }

    func read(_ a: Arguments) -> GRPO.Samples {
        GRPO.Samples(
            tokens: a[tokens], mask: a[mask], advantages: a[advantages], old: a[old],
            reference: a[reference], samplerRatio: a[samplerRatio], normaliser: a[normaliser])
    }
}

private struct GRPOOptions {
    /// A number for advantages above 0, and one for the others.
    private struct BySign {
        private let positive, negative: Option<Float>

        init(_ s: inout Signature, _ name: String, _ usual: Double, _ usualNegative: Double) {
            positive = s.number(name + "_positive", default: usual)
            negative = s.number(name + "_negative", default: usualNegative)
        }

        func read(_ a: Arguments) -> GRPO.BySign { GRPO.BySign(a[positive], a[negative]) }
    }

    private let formula: Option<GRPO.Formula>
    private let beta, epsilonLow, epsilonHigh: Option<Float>
    private let delta: Option<Float?>
    private let isPerSequence, correctsBias: Option<Bool>
    private let maximumLength: Option<Int?>
    private let tau, vespoPower, vespoRate: BySign

    init(_ s: inout Signature) {
        formula = s.choice("formula", default: .dapo)
        beta = s.number("beta", default: 0.04)
        epsilonLow = s.number("epsilon_low", default: 0.2)
        epsilonHigh = s.number("epsilon_high", default: 0.2)
        delta = s.optionalNumber("delta")
        isPerSequence = s.flag("is_per_sequence")
        correctsBias = s.flag("corrects_bias")
        maximumLength = s.optionalWhole("maximum_length")
        tau = BySign(&s, "tau", 1, 1.05)
        vespoPower = BySign(&s, "vespo_power", 2, 3)
        vespoRate = BySign(&s, "vespo_rate", 3, 2)
    }

    func read(_ a: Arguments) -> GRPO.Options {
        GRPO.Options(
            formula: a[formula], beta: a[beta], epsilonLow: a[epsilonLow], epsilonHigh: a[epsilonHigh],
            delta: a[delta], isPerSequence: a[isPerSequence], correctsBias: a[correctsBias],
            maximumLength: a[maximumLength], tau: tau.read(a), vespoPower: vespoPower.read(a),
            vespoRate: vespoRate.read(a))
    }
}

private enum DistillationFormula: String, CaseIterable {
    case jsd, cosine, kl

    func formula(beta: Float, eps: Float) -> FusedLinearDistillation.Formula {
        switch self {
        case .jsd: .jensenShannon(beta: beta)
        case .cosine: .cosine(beta: beta)
        case .kl: .kullbackLeibler(eps: eps)
        }
    }
}
