import Platform
import Tile

/// The losses of a sequence's tokens.
struct GRPOTokens {
    /// f.
    let value: Tile<Float>
    /// df/dρ, and the part of df/dl that does not pass through ρ.
    let byRho, direct: Tile<Float>
    /// 1 where ρ was cut.
    let isClipped: Tile<Float>
}

extension GRPOKernel {
    /// -min(min(ρ, δ) A, clip(ρ) A): the derivative by ρ is -A where the smaller product is not cut, else 0.
    func clipped(_ rho: Tile<Float>, _ a: Tile<Float>) -> GRPOTokens {
        let (low, high) = (1 - options.epsilonLow, 1 + options.epsilonHigh)
        let bounded = options.delta.map { minimum(rho, $0) } ?? rho
        let free = bounded * a, cut = minimum(maximum(rho, low), high) * a
        let isInside = (rho >= low) & (rho <= high), isBelow = options.delta.map { rho <= $0 }
        let moves = ((free <= cut) & (isBelow ?? (rho == rho))) | ((free > cut) & isInside)
        let isClipped = ((rho < low) & (a < 0)) | ((rho > high) & (a > 0))
        return GRPOTokens(
            value: -minimum(free, cut), byRho: select(moves, rho * 0 - a, 0), direct: rho * 0,
            isClipped: isClipped.float)
    }

    func unclipped(
        _ rho: Tile<Float>, _ a: Tile<Float>, _ l: Tile<Float>, _ difference: Tile<Float>,
        _ v: Tile<Float>, _ zero: Tile<Float>
    ) -> GRPOTokens {
        switch options.formula {
        case .cispo:
            let factor = -(minimum(rho, options.epsilonHigh) * a)
            let isClipped = (rho > options.epsilonHigh) & (zero + a > 0)
            return GRPOTokens(
                value: factor * l, byRho: zero, direct: factor, isClipped: isClipped.float)
        case .sapo:
            let tau = select(a > 0, a * 0 + options.tau.positive, options.tau.negative)
            let x = (rho - 1) * tau
            return GRPOTokens(
                value: sigmoid(x) * a * -4 / tau, byRho: sigmoid(x) * sigmoid(-x) * a * -4, direct: zero,
                isClipped: zero)
        default:
            let factor = -(vespoFactor(a, difference, v) * a)
            return GRPOTokens(
                value: l * factor, byRho: zero, direct: zero + factor, isClipped: zero)
        }
    }

    /// φ of a sequence, by the sign of each token's A; 0 where it is not finite.
    private func vespoFactor(
        _ a: Tile<Float>, _ difference: Tile<Float>, _ v: Tile<Float>
    ) -> Tile<Float> {
        let least = Float(log(1e-8)), most: Float = 20
        func clamp(_ x: Tile<Float>, _ low: Float) -> Tile<Float> { minimum(maximum(x, low), most) }
        var total = sum(clamp(difference, -most))
        switch ratio {
        case nil: break
        case .perToken: total = total + sum(clamp(log(v), least))
        // One number for the sequence, in every lane.
        case .perSequence: total = total + max(clamp(log(v), least))
        }
        let logW = clamp(total, least), w = exp(logW)
        func bySign(_ numbers: GRPO.BySign) -> Tile<Float> {
            select(a >= 0, a * 0 + numbers.positive, numbers.negative)
        }
        let rate = maximum(bySign(options.vespoRate), 1e-4)
        let phi = exp(rate + bySign(options.vespoPower) * logW - rate * w)
        return select(phi < .infinity, phi, 0)
    }
}
