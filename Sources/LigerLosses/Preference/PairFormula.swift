import LigerRuntime
import Tile

/// A pair's log-probabilities, and what an objective makes of them.
struct PairTerms {
    let loss: Tile<Float>
    /// Derivatives of the loss by c and r.
    let chosen, rejected: Tile<Float>
    /// o and log σ(o), of ORPO.
    var logOdds, logSigmoidOdds: Tile<Float>?
}

extension FusedLinearPreference.Formula {
    /// - Parameters:
    ///   - c: the chosen answer's log-probability, r the rejected one's.
    ///   - a: β (c - c'), b the rejected answer's.
    func terms(
        _ c: Tile<Float>, _ r: Tile<Float>, a: Tile<Float>, b: Tile<Float>, beta: Float
    ) -> PairTerms {
        switch self {
        case .dpo(let kind):
            let (loss, da, db) = kind.terms(a, b, beta: beta)
            return PairTerms(loss: loss, chosen: da * beta, rejected: db * beta)
        case .cpo(let smoothing): return Self.smoothed(a - b, smoothing, beta)
        case .simPO(let gamma, let smoothing): return Self.smoothed(a - b - gamma, smoothing, beta)
        case .orpo: return Self.odds(c, r, beta)
        }
    }

    /// Whether an answer's log-probability is a mean whatever the options say.
    package var alwaysAverages: Bool {
        switch self {
        case .dpo, .cpo: false
        case .simPO, .orpo: true
        }
    }

    private static func smoothed(_ d: Tile<Float>, _ smoothing: Float, _ beta: Float) -> PairTerms {
        let loss = -(logSigmoid(d) * (1 - smoothing)) - logSigmoid(-d) * smoothing
        let slope = logistic(d) * smoothing - logistic(-d) * (1 - smoothing)
        return PairTerms(loss: loss, chosen: slope * beta, rejected: slope * -beta)
    }

    /// With u = 1 - p_c and v = 1 - p_r: e^o = (p_c / p_r) (v / u), so that
    /// -σ(-o) / u = -1 / (u + v p_c / p_r), which is finite where u is 0.
    private static func odds(_ c: Tile<Float>, _ r: Tile<Float>, _ beta: Float) -> PairTerms {
        let least: Float = 1e-8
        let u = maximum(oneMinusExp(c), least), v = maximum(oneMinusExp(r), least)
        let o = (c - r) - (log(u) - log(v))
        let logSigmoidOdds = logSigmoid(o)
        let slope = logistic(-o) * -beta
        return PairTerms(
            loss: logSigmoidOdds * -beta, chosen: slope / u, rejected: -(slope / v), logOdds: o,
            logSigmoidOdds: logSigmoidOdds)
    }

    /// - Throws: `RuntimeError` naming a number outside its range.
    func check() throws {
        func require(_ value: Float, _ what: String, _ range: FusedLinearPreference.DPO.Range) throws {
            guard range.contains(value) else {
                throw RuntimeError("\(what) is \(value). Give it a number \(range.words)")
            }
        }
        switch self {
        case .dpo(.exoPair(let smoothing)):
            try require(
                smoothing, "the label smoothing of the EXO loss",
                FusedLinearPreference.DPO.Name.exoPair.labelSmoothings)
        case .dpo(.robust(let smoothing)):
            try require(
                smoothing, "the label smoothing of the robust loss",
                FusedLinearPreference.DPO.Name.robust.labelSmoothings)
        case .dpo(.discoPOP(let tau)):
            try require(tau, "the temperature τ of DiscoPOP", ("above 0", { $0 > 0 && $0.isFinite }))
        case .cpo(let smoothing), .simPO(_, let smoothing):
            try require(smoothing, "label smoothing", FusedLinearPreference.DPO.Name.sigmoid.labelSmoothings)
        default: break
        }
    }
}
