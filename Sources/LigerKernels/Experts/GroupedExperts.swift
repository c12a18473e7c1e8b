package import LigerRuntime
import Tile

/// ``Experts`` by a library's products, expert by expert: for any sizes and types, where the host knows which rows each
/// expert has. What `Experts` keeps and computes, this does.
package enum GroupedExperts {
    /// - Parameters:
    ///   - x: [T, H]; of one type with the experts' matrices.
    ///   - weights: of all experts, and of the tokens' choices.
    ///   - groups: which row belongs to which choice.
    /// - Returns: y, like x, and [rows, 2 I] for the backward pass.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    package static func forward(
        _ x: NDArray, _ weights: Experts.Weights, _ groups: ExpertGroups
    ) throws -> (y: NDArray, gates: NDArray) {
        try check(x, weights, groups)
        let gates = try groups.product(groups.gathered(x), weights.gateUp, transposes: true)
        let inner = weights.down.shape[2]
        let activations = try NDArray(empty: [gates.shape[0], inner], dtype: x.dtype, device: x.device)
        try ExpertGate(columns: inner, dtype: x.dtype).launch(
            programs: gates.shape[0], ["gates": gates, "y": activations])
        let results = try groups.product(activations, weights.down, transposes: true)
        return (try groups.mixed(results, by: weights.choices.flattened, like: x), gates)
    }

    /// Gradients, given that of y.
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: makes what `forward` was given.
    ///   - gates: what `forward` returned.
    ///   - weights: as for `forward`.
    ///   - groups: as for `forward`.
    ///   - needs: which gradients are wanted.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    package static func backward(
        dy: NDArray, x: @escaping () throws -> NDArray, gates: NDArray, _ weights: Experts.Weights,
        _ groups: ExpertGroups, needs: Experts.Needs
    ) throws -> ExpertTerms {
        try check(dy, weights, groups)
        let (rows, inner, dtype) = (gates.shape[0], weights.down.shape[2], dy.dtype)
        let dyRows = try groups.gathered(dy)
        let d = try groups.product(dyRows, weights.down, transposes: false)
        let kernel = ExpertGateBackward(
            columns: inner, dtype: dtype, weights: weights.choices.dtype,
            hasActivations: needs.contains(.down), hasSums: needs.contains(.choices))
        let dgates = try NDArray(empty: gates.shape, dtype: dtype, device: dy.device)
        let activations =
            kernel.hasActivations ? try NDArray(empty: d.shape, dtype: dtype, device: dy.device) : nil
        let sums = kernel.hasSums ? try NDArray(empty: [rows, 1], device: dy.device) : nil
        try kernel.launch(
            programs: rows,
            [
                "d": d, "gates": gates, "weights": weights.choices.flattened, "source": groups.source,
                "dgates": dgates, "activations": activations, "sums": sums,
            ])

        var gradients = ExpertTerms()
        gradients.dChoices = try sums.map { try groups.choiceGradients($0, like: weights.choices) }
        gradients.dDown = activations.map { activations in
            ExpertTerm(dy.device) {
                try groups.weightGradient(dyRows, activations, into: $0, accumulate: $1)
            }
        }
        if needs.contains(.gateUp) {
            gradients.dGateUp = ExpertTerm(dy.device) {
                try groups.weightGradient(dgates, groups.gathered(x()), into: $0, accumulate: $1)
            }
        }
        if needs.contains(.input) {
            let results = try groups.product(dgates, weights.gateUp, transposes: false)
            gradients.dInput = try groups.mixed(results, by: nil, like: dy)
        }
        return gradients
    }

    private static func check(_ x: NDArray, _ weights: Experts.Weights, _ groups: ExpertGroups) throws {
        let experts = groups.ranges.count
        guard x.shape.count == 2, weights.gateUp.shape.count == 3, weights.gateUp.shape[1] % 2 == 0 else {
            throw RuntimeError(
                "experts take x [tokens, hidden] and gates [experts, 2 inner, hidden]; found \(x.shape) and "
                    + "\(weights.gateUp.shape)")
        }
        let (hidden, inner) = (x.shape[1], weights.gateUp.shape[1] / 2)
        try weights.gateUp.expect("gate_up", shape: [experts, 2 * inner, hidden], dtype: x.dtype)
        try weights.down.expect("down", shape: [experts, hidden, inner], dtype: x.dtype)
        try weights.choices.expect("weights", shape: [x.shape[0], groups.choices])
        try groups.place.expect("place", shape: [x.shape[0] * groups.choices])
    }
}

extension ExpertGroups {
    /// Rows of tokens in the order of experts.
    package func gathered(_ x: NDArray) throws -> NDArray {
        let y = try NDArray(empty: [source.count, x.shape[1]], dtype: x.dtype, device: x.device)
        try GatheredRows(columns: x.shape[1], dtype: x.dtype, choices: choices).launch(
            programs: source.count, ["x": x, "source": source, "count": count, "y": y])
        return y
    }

    /// Tokens' sums over the rows of their choices, in the order of choices.
    fileprivate func mixed(_ x: NDArray, by weights: NDArray?, like tokens: NDArray) throws -> NDArray {
        let y = try NDArray(empty: tokens.shape, dtype: tokens.dtype, device: tokens.device)
        try MixedRows(columns: x.shape[1], dtype: x.dtype, choices: choices, weights: weights?.dtype)
            .launch(
                programs: tokens.shape[0], ["x": x, "place": place, "weights": weights, "y": y])
        return y
    }

    fileprivate func choiceGradients(_ sums: NDArray, like weights: NDArray) throws -> NDArray {
        let gradients = try NDArray(empty: weights.shape, dtype: weights.dtype, device: weights.device)
        try ChoiceGradients(blocks: 1, dtype: weights.dtype).launch(
            programs: weights.count, ["sums": sums, "place": place, "dweights": gradients.flattened])
        return gradients
    }
}

/// y = silu(gate) up, both halves of a row; one program a row.
struct ExpertGate: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let gates = p.input("gates", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(columns), gate = gates[row, c]
        y[row, c] = gate * sigmoid(gate) * gates[row, c + columns]
    }
}

/// As ``ExpertGateGradients``, given d; one program a row.
struct ExpertGateBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let weights: DType
    let hasActivations: Bool
    let hasSums: Bool

    func body(_ p: Program) {
        let d = p.input("d", dtype, rank: 2), gates = p.input("gates", dtype, rank: 2)
        let weights = p.input("weights", weights, rank: 1)
        let source = p.input("source", .i32, rank: 1, as: Int.self)
        let dgates = p.output("dgates", dtype, rank: 2)
        let activations = hasActivations ? p.output("activations", dtype, rank: 2) : nil
        let sums = hasSums ? p.output("sums", .f32, rank: 2) : nil
        let row = p.index, c = p.range(columns), v = weights[source[row]]

        let gate = gates[row, c], up = gates[row, c + columns], slope = d[row, c]
        let s = sigmoid(gate), a = gate * s
        dgates[row, c] = v * slope * up * (s + a * (1 - s))
        dgates[row, c + columns] = v * slope * a
        if let activations { activations[row, c] = v * a * up }
        if let sums { sums[row, 0] = sum(slope * (a * up)) }
    }
}
