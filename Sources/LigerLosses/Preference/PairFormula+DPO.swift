import Platform
import Tile

extension FusedLinearPreference.DPO {
    typealias Terms = (loss: Tile<Float>, da: Tile<Float>, db: Tile<Float>)

    /// The loss of a pair and its derivatives by a and b. With s = σ(x): ds/dx = σ(x) σ(-x), dlog s/dx = σ(-x).
    func terms(_ a: Tile<Float>, _ b: Tile<Float>, beta: Float) -> Terms {
        let d = a - b
        func ofDifference(_ loss: Tile<Float>, _ slope: Tile<Float>) -> Terms { (loss, slope, -slope) }
        switch self {
        case .sigmoid:
            return ofDifference(-logSigmoid(d), -logistic(-d))
        case .hinge:
            return ofDifference(maximum(1 - d, 0), select(d < 1, -1, d * 0))
        case .exoPair(let smoothing):
            let (right, wrong) = (Tile.logarithm(1 - smoothing), Tile.logarithm(smoothing))
            let (p, q) = (logistic(d), logistic(-d))
            let loss = p * (logSigmoid(d) - right) + q * (logSigmoid(-d) - wrong)
            return ofDifference(loss, p * q * (d - (right - wrong)))
        case .ncaPair:
            let loss = -logSigmoid(a) - (logSigmoid(-a) + logSigmoid(-b)) * 0.5
            return (loss, logistic(a) * 0.5 - logistic(-a), logistic(b) * 0.5)
        case .robust(let smoothing):
            let share = 1 / (1 - 2 * smoothing)
            let (keep, flip) = ((1 - smoothing) * share, smoothing * share)
            return ofDifference(
                logSigmoid(-d) * flip - logSigmoid(d) * keep, -(logistic(-d) * keep + logistic(d) * flip))
        case .bcoPair:
            return (-logSigmoid(a) - logSigmoid(-b), -logistic(-a), logistic(b))
        case .sppoHard:
            let (x, y) = (a / beta - 0.5 / beta, b / beta + 0.5 / beta)
            return (x * x + y * y, x * (2 / beta), y * (2 / beta))
        case .apoZero:
            return (logistic(-a) + logistic(b), -(logistic(a) * logistic(-a)), logistic(b) * logistic(-b))
        case .apoDown:
            let slope = logistic(d) * logistic(-d)
            return (logistic(a) + logistic(-d), logistic(a) * logistic(-a) - slope, slope)
        case .discoPOP(let tau):
            return Self.discovered(d, tau: tau)
        }
    }

    /// e^-d m is taken as e^(log m - d), since e^-d alone overflows where m is 0.
    private static func discovered(_ d: Tile<Float>, tau: Float) -> Terms {
        let (m, rest) = (logistic(d / tau), logistic(-(d / tau)))
        let weighted = exp(logSigmoid(d / tau) - d), likelihood = logSigmoid(d)
        let loss = weighted - likelihood * rest
        // dm/dd = m (1 - m) / τ.
        let slope = (likelihood * m + weighted) * (rest / tau) - logistic(-d) * rest - weighted
        return (loss, slope, -slope)
    }
}

extension Tile where Element == Float {
    /// Of a constant of the kernel.
    fileprivate static func logarithm(_ x: Float) -> Float { Float(log(Double(x))) }
}
