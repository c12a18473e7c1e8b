import LigerKernels
import LigerLosses
import LigerRuntime

extension Operation {
    /// Losses of a linear layer's logits over sequences, pairs and teachers. All return the gradients of
    /// `input`, `weight` and `bias` that `needs` has bits for; with the bit 8 those in f16 still have to be multiplied
    /// by `input_scales`, `weight_scales` (a number for each row of them) and `bias_scales` (one number).
    static let sequenceLosses = [
        // formula: of DPO, cpo, simpo or orpo. answers and rewards are [2 P], logit_means and odds_means [2].
        Operation(
            "fused_linear_preference", returns: "loss", "nll", "answers", "rewards", "logit_means",
            "odds_means", "dinput", "dweight", "dbias", "input_scales", "weight_scales", "bias_scales"
        ) { a in
            let r = try FusedLinearPreference.forward(
                a.pairFormula(), head: a.head(), labels: a("labels"),
                likelihoodLabels: a.optional("likelihood_labels"), reference: a.referenceModel(),
                options: FusedLinearPreference.Options(
                    beta: a.float("beta"), likelihoodWeight: a.optionalFloat("likelihood_weight"),
                    averages: a.flag("averages"), sequences: a.sequences()),
                needs: a.linearNeeds())
            return [r.loss, r.nll, r.logProbabilities, r.rewards, r.logitMeans, r.oddsMeans]
                + [r.dInput, r.dWeight, r.dBias, r.scales.input, r.scales.weight, r.scales.bias]
        },
        // sums: [3, 2], of good and of bad answers: log-probabilities, logits, rewards.
        Operation(
            "fused_linear_kto", returns: "loss", "sums", "dinput", "dweight", "dbias", "input_scales",
            "weight_scales", "bias_scales"
        ) { a in
            let r = try FusedLinearKTO.forward(
                head: a.head(), labels: a("labels"), preferences: a("preferences"),
                reference: a.referenceModel(), divergence: a.optional("divergence"),
                options: FusedLinearKTO.Options(
                    beta: a.float("beta"), averages: a.flag("averages"), sequences: a.sequences()),
                needs: a.linearNeeds())
            return [r.loss, r.sums, r.dInput, r.dWeight, r.dBias]
                + [r.scales.input, r.scales.weight, r.scales.bias]
        },
        // formula: those of GRPO. The reference is a layer, or log-probabilities.
        Operation(
            "fused_linear_grpo", returns: "loss", "divergence", "clip_ratio", "dinput", "dweight", "dbias",
            "input_scales", "weight_scales", "bias_scales"
        ) { a in
            let r = try FusedLinearGRPO.forward(
                head: a.head(), samples: a.samples(), reference: a.head("reference_"),
                options: a.grpoOptions(), sequences: a.sequences(), needs: a.linearNeeds())
            return [r.loss, r.divergence, r.clipRatio, r.dInput, r.dWeight, r.dBias]
                + [r.scales.input, r.scales.weight, r.scales.bias]
        },
        // The same of logits at hand, [B, T or more, V]. tokens: [B, 3, T], of each token the loss, the divergence and
        // whether its ratio was cut. dlogits: of the whole loss for `loss_upstream`, [1], or else 1; or of the tokens'
        // for `upstream`, [B, T].
        Operation(
            "grpo", returns: "loss", "divergence", "clip_ratio", "tokens", "log_probabilities", "dlogits"
        ) { a in
            let logits = try a("logits")
            let r = try GRPO.forward(
                logits: logits, samples: a.samples(), options: a.grpoOptions(),
                temperature: a.float("temperature", default: 1))
            var gradient: NDArray?
            if try a.flag("needs_gradient") {
                let copy = try NDArray(empty: logits.shape, dtype: logits.dtype, device: logits.device)
                try logits.copyBytes(to: copy)
                try GRPO.backward(
                    overwriting: copy, r, upstream: a.optional("upstream"),
                    lossUpstream: a.optional("loss_upstream"))
                gradient = copy
            }
            return [r.loss, r.divergence, r.clipRatio, r.tokens, r.logProbabilities, gradient]
        },
        // formula: jsd, cosine or kl. The teacher is a layer; probabilities for kl.
        Operation(
            "fused_linear_distillation", returns: "loss", "soft", "hard", "dinput", "dweight", "dbias",
            "input_scales", "weight_scales", "bias_scales"
        ) { a in
            let r = try FusedLinearDistillation.forward(
                a.distillationFormula(), student: a.head(), teacher: a.teacher(),
                labels: a.optional("labels"),
                options: FusedLinearDistillation.Options(
                    hardWeight: a.float("hard_weight", default: 0), wantsHard: a.flag("wants_hard"),
                    softWeight: a.float("soft_weight", default: 1), sequences: a.sequences()),
                needs: a.linearNeeds())
            return [r.loss, r.soft, r.hard, r.dInput, r.dWeight, r.dBias]
                + [r.scales.input, r.scales.weight, r.scales.bias]
        },
    ]
}

extension Arguments {
    fileprivate func head() throws -> LinearHead {
        LinearHead(input: try self("input"), weight: try self("weight"), bias: optional("bias"))
    }

    /// Another model's layer, nil where its input is not given.
    fileprivate func head(_ prefix: String) throws -> LinearHead? {
        let (weight, bias) = (optional(prefix + "weight"), optional(prefix + "bias"))
        guard let input = optional(prefix + "input") else { return nil }
        guard let weight else {
            throw RuntimeError("'\(prefix)input' is given without '\(prefix)weight'. Give both, or neither")
        }
        return LinearHead(input: input, weight: weight, bias: bias)
    }

    fileprivate func referenceModel() throws -> FusedLinearPreference.ReferenceModel? {
        try head("reference_").map { .layer($0) }
    }

    fileprivate func linearNeeds() throws -> LinearNeeds {
        LinearNeeds(rawValue: try int("needs", default: LinearNeeds.all.rawValue))
    }

    fileprivate func sequences() throws -> SequenceOptions {
        SequenceOptions(
            ignoreIndex: try int("ignore_index", default: -100),
            temperature: try float("temperature", default: 1), budgetBytes: try optionalInt("budget_bytes"),
            accumulation: try choice("accumulation", default: .exact))
    }

    fileprivate func pairFormula() throws -> FusedLinearPreference.Formula {
        enum Name: String, CaseIterable {
            case sigmoid, hinge, exo_pair, nca_pair, robust, bco_pair, sppo_hard, apo_zero, apo_down, discopop
            case cpo, simpo, orpo
        }
        let smoothing = try float("label_smoothing", default: 0)
        let (tau, gamma) = (try float("tau", default: 0.05), try float("gamma", default: 0.5))
        return switch try choice("formula", default: Name.sigmoid) {
        case .sigmoid: .dpo(.sigmoid)
        case .hinge: .dpo(.hinge)
        case .exo_pair: .dpo(.exoPair(labelSmoothing: smoothing))
        case .nca_pair: .dpo(.ncaPair)
        case .robust: .dpo(.robust(labelSmoothing: smoothing))
        case .bco_pair: .dpo(.bcoPair)
        case .sppo_hard: .dpo(.sppoHard)
        case .apo_zero: .dpo(.apoZero)
        case .apo_down: .dpo(.apoDown)
        case .discopop: .dpo(.discoPOP(tau: tau))
        case .cpo: .cpo(labelSmoothing: smoothing)
        case .simpo: .simPO(gamma: gamma, labelSmoothing: smoothing)
        case .orpo: .orpo
        }
    }

    fileprivate func samples() throws -> GRPO.Samples {
        GRPO.Samples(
            tokens: try self("tokens"), mask: optional("mask"), advantages: try self("advantages"),
            old: optional("old"), reference: optional("reference"), samplerRatio: optional("sampler_ratio"),
            normaliser: optional("normaliser"))
    }

    fileprivate func grpoOptions() throws -> GRPO.Options {
        func bySign(_ name: String, _ positive: Double, _ negative: Double) throws -> GRPO.BySign {
            GRPO.BySign(
                try float(name + "_positive", default: positive),
                try float(name + "_negative", default: negative))
        }
        return GRPO.Options(
            formula: try choice("formula", default: .dapo), beta: try float("beta", default: 0.04),
            epsilonLow: try float("epsilon_low", default: 0.2),
            epsilonHigh: try float("epsilon_high", default: 0.2), delta: try optionalFloat("delta"),
            isPerSequence: try flag("is_per_sequence"), correctsBias: try flag("corrects_bias"),
            maximumLength: try optionalInt("maximum_length"), countsPadding: try flag("counts_padding"),
            tau: try bySign("tau", 1, 1.05), vespoPower: try bySign("vespo_power", 2, 3),
            vespoRate: try bySign("vespo_rate", 3, 2))
    }

    fileprivate func distillationFormula() throws -> FusedLinearDistillation.Formula {
        enum Name: String, CaseIterable { case jsd, cosine, kl }
        let (beta, eps) = (try float("beta", default: 0.5), try float("eps", default: 1e-10))
        return switch try choice("formula", default: Name.jsd) {
        case .jsd: .jensenShannon(beta: beta)
        case .cosine: .cosine(beta: beta)
        case .kl: .kullbackLeibler(eps: eps)
        }
    }

    fileprivate func teacher() throws -> FusedLinearDistillation.Teacher {
        if let layer = try head("teacher_") { return .layer(layer) }
        return .probabilities(try self("teacher"))
    }
}
