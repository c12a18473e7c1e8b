package import LigerRuntime
import Platform

/// The formulas of hyper-connections in Double over plain arrays: what the kernels are checked against.
package enum HyperConnectionReference {
    /// (x phi) / sqrt(mean(x^2) + eps) of rows of K, for a phi [K, M].
    package static func mix(_ x: [Double], phi: [Double], outputs: Int, eps: Double) -> [Double] {
        let columns = phi.count / outputs
        return (0..<(x.count / columns)).flatMap { row -> [Double] in
            let x = Array(x[(row * columns)..<((row + 1) * columns)]), r = rstd(x, eps)
            return (0..<outputs).map { m in
                r * x.indices.reduce(0) { $0 + x[$1] * phi[$1 * outputs + m] }
            }
        }
    }

    /// Gradients of x and phi.
    package static func mixBackward(
        dmix: [Double], _ x: [Double], phi: [Double], outputs: Int, eps: Double
    ) -> (dx: [Double], dphi: [Double]) {
        let columns = phi.count / outputs
        var dx: [Double] = [], dphi = phi.map { _ in 0.0 }
        for row in 0..<(x.count / columns) {
            let x = Array(x[(row * columns)..<((row + 1) * columns)]), r = rstd(x, eps)
            let g = Array(dmix[(row * outputs)..<((row + 1) * outputs)])
            // d of each x / sqrt(mean(x^2) + eps), then of that quotient.
            let normal = x.indices.map { k in
                (0..<outputs).reduce(0) { $0 + g[$1] * phi[k * outputs + $1] }
            }
            let projection = zip(normal, x).reduce(0) { $0 + $1.0 * $1.1 } / Double(columns)
            for k in x.indices {
                dx.append(r * normal[k] - r * r * r * x[k] * projection)
                for m in 0..<outputs { dphi[k * outputs + m] += x[k] * r * g[m] }
            }
        }
        return (dx, dphi)
    }

    private static func rstd(_ x: [Double], _ eps: Double) -> Double {
        1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + eps).squareRoot()
    }
}

// MARK: - Coefficients

extension HyperConnectionReference {
    /// What coefficients depend on in addition to mix.
    package struct Settings {
        package var streams, turns: Int
        package var bias: [Double]
        /// pre, post, res.
        package var alphas: [Double]
        package var preEps, sinkhornEps, postMultiplier: Double

        package init(
            _ parameters: HyperConnectionCoefficients.Parameters,
            _ options: HyperConnectionCoefficients.Options
        ) {
            streams = options.streams
            turns = options.turns
            bias = parameters.bias.doubles
            alphas = [parameters.pre, parameters.post, parameters.res].map { $0.doubles[0] }
            preEps = Double(options.preEps)
            sinkhornEps = Double(options.sinkhornEps)
            postMultiplier = Double(options.postMultiplier)
        }
    }

    /// pre, post and res of one token, one after the other, as its mix is.
    fileprivate static func coefficients(_ mix: [Double], _ s: Settings) -> [Double] {
        let n = s.streams
        let logits = mix.indices.map { mix[$0] * s.alphas[min($0 / n, 2)] + s.bias[$0] }
        let pre = logits[..<n].map { 1 / (1 + exp(-$0)) + s.preEps }
        let post = logits[n..<(2 * n)].map { s.postMultiplier / (1 + exp(-$0)) }
        var matrix = (0..<n).map { i -> [Double] in
            let row = logits[(2 * n + i * n)..<(2 * n + (i + 1) * n)], most = row.max() ?? 0
            let total = row.reduce(0) { $0 + exp($1 - most) }
            return row.map { exp($0 - most) / total + s.sinkhornEps }
        }
        for turn in 0..<s.turns {
            if turn > 0 {
                matrix = matrix.map { row in row.map { $0 / (row.reduce(0, +) + s.sinkhornEps) } }
            }
            let sums = (0..<n).map { column in matrix.reduce(0) { $0 + $1[column] } }
            matrix = matrix.map { row in zip(row, sums).map { $0 / ($1 + s.sinkhornEps) } }
        }
        return pre + post + matrix.flatMap { $0 }
    }

    /// The gradient of Σ weights coefficients with respect to one token's mix, by central differences, which err by some
    /// 1e-9 of the largest slope.
    fileprivate static func mixSlopes(_ mix: [Double], weights: [Double], _ s: Settings) -> [Double] {
        mix.indices.map { i in
            slope(at: mix[i], weights) { value in
                var mix = mix
                mix[i] = value
                return coefficients(mix, s)
            }
        }
    }

    /// As `mixSlopes` for the bias, and for the alphas.
    fileprivate static func parameterSlopes(
        _ mix: [Double], weights: [Double], _ s: Settings
    ) -> (bias: [Double], alphas: [Double]) {
        func slopes(_ numbers: WritableKeyPath<Settings, [Double]>) -> [Double] {
            s[keyPath: numbers].indices.map { i in
                slope(at: s[keyPath: numbers][i], weights) { value in
                    var changed = s
                    changed[keyPath: numbers][i] = value
                    return coefficients(mix, changed)
                }
            }
        }
        return (slopes(\.bias), slopes(\.alphas))
    }

    private static func slope(
        at x: Double, _ weights: [Double], _ function: (Double) -> [Double]
    ) -> Double {
        let step = 1e-5
        let differences = zip(function(x + step), function(x - step)).map(-)
        return zip(weights, differences).reduce(0) { $0 + $1.0 * $1.1 } / (2 * step)
    }
}

extension HyperConnectionReference {
    /// What all tokens' coefficients and their gradients should be.
    package struct Outcome {
        /// pre, post and res.
        package private(set) var parts: [[Double]] = [[], [], []]
        package private(set) var dmix: [Double] = [], dbias: [Double], dalphas = [0.0, 0, 0]

        /// - Parameter upstream: the gradients of pre, post and res.
        package init(_ mix: [Double], upstream: [[Double]], _ settings: Settings) {
            let n = settings.streams, columns = n * (n + 2)
            let groups = [0..<n, n..<(2 * n), (2 * n)..<columns]
            dbias = [Double](repeating: 0, count: columns)
            for token in 0..<(mix.count / columns) {
                let mix = Array(mix[(token * columns)..<((token + 1) * columns)])
                let weights = zip(upstream, groups).flatMap { values, group in
                    values[(token * group.count)..<((token + 1) * group.count)]
                }
                let found = coefficients(mix, settings)
                for (i, group) in groups.enumerated() { parts[i] += found[group] }
                dmix += mixSlopes(mix, weights: weights, settings)
                let slopes = parameterSlopes(mix, weights: weights, settings)
                dbias = zip(dbias, slopes.bias).map(+)
                dalphas = zip(dalphas, slopes.alphas).map(+)
            }
        }
    }
}

// MARK: - Streams

extension HyperConnectionReference {
    /// [rows, inner] times [inner, columns].
    fileprivate static func product(_ a: [Double], _ b: [Double], inner: Int) -> [Double] {
        let columns = b.count / inner
        return (0..<(a.count / inner)).flatMap { row in
            (0..<columns).map { column in
                (0..<inner).reduce(0) { $0 + a[row * inner + $1] * b[$1 * columns + column] }
            }
        }
    }

    /// A matrix of so many columns with rows and columns exchanged.
    package static func transposed(_ a: [Double], columns: Int) -> [Double] {
        (0..<columns).flatMap { column in
            stride(from: column, to: a.count, by: columns).map { a[$0] }
        }
    }
}

extension HyperConnectionReference {
    /// Products of small matrices, one of each token.
    package struct Products {
        package enum Operand { case first, second }

        private let tokens: Int

        package init(tokens: Int) { self.tokens = tokens }

        /// a [.., inner] times b [inner, ..], either of which may be given transposed.
        package func callAsFunction(
            _ a: NDArray, _ b: NDArray, inner: Int, transposing operand: Operand? = nil
        ) -> [Double] {
            func matrix(_ values: [Double], _ token: Int) -> [Double] {
                let size = values.count / tokens
                return Array(values[(token * size)..<((token + 1) * size)])
            }
            let (lefts, rights) = (a.doubles, b.doubles)
            return (0..<tokens).flatMap { token -> [Double] in
                var (left, right) = (matrix(lefts, token), matrix(rights, token))
                switch operand {
                case .first: left = transposed(left, columns: left.count / inner)
                case .second: right = transposed(right, columns: inner)
                case nil: break
                }
                return product(left, right, inner: inner)
            }
        }
    }
}
