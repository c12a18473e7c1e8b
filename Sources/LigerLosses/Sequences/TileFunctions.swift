import Tile

// Functions that keep their digits near zero.

/// log(1 + x) for x from 0: log(u) x / (u - 1) with u = 1 + x rounded, whose error cancels (Kahan).
func log1p(_ x: Tile<Float>) -> Tile<Float> {
    let u = x + 1
    return select(u == 1, x, log(u) * x / (u - 1))
}

/// log(1 / (1 + exp(-x))).
func logSigmoid(_ x: Tile<Float>) -> Tile<Float> {
    minimum(x, 0) - log1p(exp(-abs(x)))
}

/// 1 - exp(x) for x up to 0: 2 t / (1 + t) with t = tanh(-x / 2).
func oneMinusExp(_ x: Tile<Float>) -> Tile<Float> {
    let t = tanh(x * -0.5)
    return 2 * t / (t + 1)
}

/// σ(x) = 1 / (1 + exp(-x)), under a name that no case of a formula has.
func logistic(_ x: Tile<Float>) -> Tile<Float> { sigmoid(x) }
