import LigerKernels
import LigerLosses
import LigerRuntime
import Tile

extension Operation {
    static let losses = [
        // gradient_scale: [1], what an f16 gradient still has to be multiplied by, where `wants` has the bit 8 and the
        // upstream gradient is not given.
        Operation(
            "cross_entropy", returns: "loss", "z_loss", "accuracy", "argmax", "gradient", "gradient_scale"
        ) { a in
            let logits = try a("logits")
            let r = try CrossEntropy.forward(
                logits: logits, labels: a("labels"), classWeights: a.optional("class_weights"),
                options: a.crossEntropyOptions(), normaliser: a.optional("normaliser"),
                upstream: a.optional("upstream"), wants: a.wants())
            return [
                try r.loss.cast(to: logits.dtype), try a.zLoss(r.zLoss, logits.dtype), r.accuracy, r.argmax,
                r.gradient, r.gradientScale,
            ]
        },
        // input_scales, weight_scales, bias_scales: as for the losses of `sequenceLosses`.
        Operation(
            "fused_linear_cross_entropy", returns: "loss", "z_loss", "accuracy", "argmax", "dinput",
            "dweight", "dbias", "input_scales", "weight_scales", "bias_scales"
        ) { a in
            let input = try a("input")
            let r = try FusedLinearCrossEntropy.forward(
                input: input, weight: a("weight"), bias: a.optional("bias"), labels: a("labels"),
                classWeights: a.optional("class_weights"),
                options: FusedLinearCrossEntropy.Options(
                    a.crossEntropyOptions(),
                    budgetBytes: a.optionalInt("budget_bytes"),
                    accumulation: a.choice("accumulation", default: .exact)),
                normaliser: a.optional("normaliser"), upstream: a.optional("upstream"), wants: a.wants(),
                needs: LinearNeeds(rawValue: a.int("needs", default: LinearNeeds.all.rawValue)))
            return [
                r.loss, try a.zLoss(r.zLoss, input.dtype), r.accuracy, r.argmax, r.dInput, r.dWeight, r.dBias,
                r.scales.input, r.scales.weight, r.scales.bias,
            ]
        },
        // formula: kl, kl_of_logarithms, jsd or tvd; reduction: none, sum, mean or batchMean. gradient_scales: [rows],
        // what rows of an f16 gradient still have to be multiplied by, where `needs_scales` is set.
        Operation("divergence", returns: "loss", "gradient", "gradient_scales") { a in
            let r = try Divergence.forward(
                a.divergence(), student: a("student"), teacher: a("teacher"), labels: a.optional("labels"),
                options: Divergence.Options(
                    reduction: a.choice("reduction", default: .batchMean),
                    ignoreIndex: a.int("ignore_index", default: -100)),
                wantsGradient: a.flag("needs_gradient", default: true), wantsScales: a.flag("needs_scales"))
            return [r.loss, r.gradient, r.gradientScales]
        },
        // x times an array of its shape, into x itself.
        Operation("scale_entries", returns: "none") { a in
            try Divergence.scale(a("x"), byEntry: a("factor"))
            return [nil]
        },
        // x times one number, or one per row, into x itself.
        Operation("scale_rows", returns: "none") { a in
            try CrossEntropy.scale(a("x"), by: a("factor"))
            return [nil]
        },
    ]
}

extension Arguments {
    fileprivate func crossEntropyOptions() throws -> CrossEntropy.Options {
        CrossEntropy.Options(
            ignoreIndex: try int("ignore_index", default: -100),
            labelSmoothing: try float("label_smoothing", default: 0), zLoss: try float("z_loss", default: 0),
            softcap: try optionalFloat("softcap"), reduction: try choice("reduction", default: .mean),
            tokenScaling: try flag("token_scaling"))
    }

    fileprivate func wants() throws -> CrossEntropy.Outputs {
        CrossEntropy.Outputs(rawValue: try int("wants", default: 0))
    }

    fileprivate func divergence() throws -> Divergence.Formula {
        enum Name: String, CaseIterable { case kl, kl_of_logarithms, jsd, tvd }
        let (eps, beta) = (try float("eps", default: 1e-10), try float("beta", default: 0.5))
        return switch try choice("formula", default: Name.kl) {
        case .kl: .kullbackLeibler(eps: eps)
        case .kl_of_logarithms: .kullbackLeiblerOfLogarithms
        case .jsd: .jensenShannon(beta: beta)
        case .tvd: .totalVariation
        }
    }

    /// The z-loss where it was asked for.
    fileprivate func zLoss(_ loss: NDArray?, _ dtype: DType) throws -> NDArray? {
        try flag("wants_z_loss") ? try loss?.cast(to: dtype) : nil
    }
}

extension NDArray {
    /// Rounded once.
    fileprivate func cast(to dtype: DType) throws -> NDArray { try Cast.apply(self, to: dtype) }
}
