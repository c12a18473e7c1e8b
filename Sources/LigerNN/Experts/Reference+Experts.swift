package import LigerKernels
package import LigerRuntime
import Tile

extension Reference {
    /// softmax(scores) of the choices, each [tokens], over their sum where they are normalised.
    ///
    /// - Parameter choices: [tokens, K], i32.
    package static func routing(
        _ scores: Tensor, _ options: Routing.Options, choices: NDArray
    ) throws -> [Tensor] {
        let wide = try scores.cast(to: .f32)
        let powers = try wide.subtracting(numberPerRow: wide.detachedRowMaxima()).mapped(.exp)
        let shares = try powers.multiplied(byNumberPerRow: powers.rowSums().mapped(.reciprocal))
        let chosen = try (0..<options.choices).map { choice in
            let labels = choices.sliced(1, choice..<choice + 1)
            return try shares.gathered(labels.column, ignoreIndex: -1)
        }
        guard options.normalises else { return chosen }
        let total = try chosen.dropFirst().reduce(chosen[0]) { try $0.adding($1) }.mapped(.reciprocal)
        return try chosen.map { try $0.multiplied(by: total) }
    }

    /// What chosen experts make of the rows of x, choice by choice added up by weights.
    ///
    /// - Parameters:
    ///   - weights: of each choice, [tokens].
    ///   - choices: [tokens, K], i32.
    package static func experts(
        _ x: Tensor, _ gateUp: Tensor, _ down: Tensor, weights: [Tensor], choices: NDArray
    ) throws -> Tensor {
        let groups = try ExpertGroups(choices, experts: gateUp.shape[0])
        let inner = down.shape[2]
        let parts = try x.rows(groups.tokens).multiplied(byMatricesOf: groups, gateUp).columns([inner, inner])
        let results = try swiGLU(gate: parts[0], up: parts[1]).multiplied(byMatricesOf: groups, down)
        let terms = try weights.enumerated().map { choice, weight in
            try results.rows(groups.rows(ofChoice: choice)).multiplied(byNumberPerRow: weight)
        }
        return try terms.dropFirst().reduce(terms[0]) { try $0.adding($1) }
    }
}

extension ExpertGroups {
    /// The token of each row, [rows], i32.
    fileprivate var tokens: NDArray {
        get throws { try quotients(source) }
    }

    /// The row of each token's choice of a number, [tokens], i32.
    fileprivate func rows(ofChoice choice: Int) throws -> NDArray {
        let places = place.reshaped([place.count / choices, choices])
        return try quotients(places.sliced(1, choice..<choice + 1).column, by: 1)
    }

    private func quotients(_ numbers: NDArray, by divisor: Int? = nil) throws -> NDArray {
        let y = try NDArray(empty: numbers.shape, dtype: .i32, device: numbers.device)
        try QuotientKernel(divisor: divisor ?? choices).launch(programs: y.count, ["x": numbers, "y": y])
        return y
    }
}

extension NDArray {
    /// [rows, 1] as [rows], with its stride.
    fileprivate var column: NDArray {
        NDArray(buffer: buffer, offset: offset, shape: [shape[0]], strides: [strides[0]], dtype: dtype)
    }
}

extension Tensor {
    /// x[r] W^T with the matrix W, of [experts, outputs, inputs], of the row's expert.
    fileprivate func multiplied(byMatricesOf groups: ExpertGroups, _ matrices: Tensor) throws -> Tensor {
        let (x, w) = (value, matrices.saved)
        let needs = (requiresGradient, matrices.requiresGradient)
        let y = try groups.product(x, matrices.value, transposes: true)
        return tape.record(y, from: [self, matrices]) { upstream in
            let dy = upstream.array
            return [
                needs.0 ? .array(try groups.product(dy, w.array(), transposes: false)) : .none,
                needs.1
                    ? .product(
                        ExpertTerm(dy.device) {
                            try groups.weightGradient(dy, x, into: $0, accumulate: $1)
                        }) : .none,
            ]
        }
    }
}

/// y = x / divisor, rounded down; one program a number.
private struct QuotientKernel: TileKernel {
    let divisor: Int

    func body(_ p: Program) {
        let x = p.input("x", .i32, rank: 1, as: Int.self), y = p.output("y", .i32, rank: 1, as: Int.self)
        y[p.index] = x[p.index] / divisor
    }
}
