import LigerRuntime
import Tile

/// The steps of both passes over experts, with their sizes.
struct ExpertTask {
    let capacity: Int
    let hidden: Int
    let inner: Int
    private let experts: Int
    private let choices: Int
    let weights: Experts.Weights
    private let rows: ExpertRows
    private let dtype: DType
    private let device: Device

    /// - Throws: `RuntimeError` if shapes or types do not fit.
    init(_ x: NDArray, _ weights: Experts.Weights, _ rows: ExpertRows) throws {
        let (gateUp, down) = (weights.gateUp, weights.down)
        guard x.shape.count == 2, gateUp.shape.count == 3, gateUp.shape[2] == x.shape[1],
            gateUp.shape[1] % 2 == 0, gateUp.shape[0] > 0
        else {
            throw RuntimeError(
                "experts take x [tokens, hidden] and gates [experts, 2 inner, hidden]; found \(x.shape) and "
                    + "\(gateUp.shape)")
        }
        (experts, hidden, inner) = (gateUp.shape[0], x.shape[1], gateUp.shape[1] / 2)
        try down.expect("down", shape: [experts, hidden, inner], dtype: x.dtype)
        try gateUp.expect("gate_up", shape: gateUp.shape, dtype: x.dtype)
        let chosen = weights.choices.shape
        guard chosen.count == 2, chosen[0] == x.shape[0], (1...Self.mostChoices).contains(chosen[1]) else {
            throw RuntimeError(
                "weights of choices are [tokens, choices], with 1 to \(Self.mostChoices) choices; found \(chosen) "
                    + "for \(x.shape[0]) tokens")
        }
        if hidden % ExpertRows.block != 0 || inner % 64 != 0 {
            throw RuntimeError(
                "experts of hidden size \(hidden) and inner size \(inner). Give multiples of "
                    + "\(ExpertRows.block) and 64, or multiply expert by expert")
        }
        choices = chosen[1]
        try rows.check(choices: x.shape[0] * choices, experts: experts)
        (self.weights, self.rows, dtype, device) = (weights, rows, x.dtype, x.device)
        capacity = rows.source.count
    }

    /// Terms of a sum over choices that one program adds.
    static let mostChoices = 16

    /// Memory for all rows.
    func rows(_ columns: Int) throws -> NDArray {
        try NDArray(empty: [capacity, columns], dtype: dtype, device: device)
    }

    /// Rows of tokens in the order of experts.
    func gathered(_ x: NDArray) throws -> NDArray {
        let y = try rows(hidden)
        try GatheredRows(columns: hidden, dtype: dtype, choices: choices).launch(
            programs: capacity, ["x": x, "source": rows.source, "count": rows.count, "y": y])
        return y
    }

    /// Tokens' sums over the rows of their choices.
    func mixed(_ x: NDArray, by choiceWeights: NDArray?, like tokens: NDArray) throws -> NDArray {
        let y = try NDArray(empty: tokens.shape, dtype: dtype, device: device)
        try MixedRows(columns: hidden, dtype: dtype, choices: choices, weights: choiceWeights?.dtype)
            .launch(
                programs: tokens.shape[0],
                ["x": x, "place": rows.place, "weights": choiceWeights, "y": y])
        return y
    }

    func activate(_ x: NDArray, gates: NDArray?, into y: NDArray) throws {
        try ExpertActivations(columns: inner, dtype: dtype, keepsGates: gates != nil).launch(
            programs: capacity,
            [
                "x": x, "weight": weights.gateUp.rows, "experts": rows.experts, "count": rows.count,
                "gates": gates, "y": y,
            ])
    }

    /// Rows times their experts' matrices, whose rows or columns are multiplied.
    func multiply(_ x: NDArray, _ matrices: NDArray, hasRows: Bool, into y: NDArray) throws {
        try ExpertProduct(depth: x.shape[1], columns: y.shape[1], dtype: dtype, hasRows: hasRows).launch(
            programs: capacity,
            [
                "x": x, "weight": matrices.rows, "experts": rows.experts, "count": rows.count, "y": y,
            ])
    }

    /// What comes of dy through the second product and the gate.
    struct BehindGate {
        let dyRows: NDArray
        let dgates: NDArray
        /// Rows that downs' gradient needs.
        let activations: NDArray?
        let dChoices: NDArray?
    }

    /// dy of each row, through the second product and the gate.
    func throughGate(_ dy: NDArray, _ gates: NDArray, _ needs: Experts.Needs) throws -> BehindGate {
        let dyRows = try gathered(dy)
        let kernel = ExpertGateGradients(
            columns: inner, depth: hidden, dtype: dtype, weights: weights.choices.dtype,
            hasActivations: needs.contains(.down), hasSums: needs.contains(.choices))
        let blocks = (inner + kernel.width - 1) / kernel.width
        let dgates = try rows(2 * inner)
        let activations = kernel.hasActivations ? try rows(inner) : nil
        let sums = kernel.hasSums ? try NDArray(empty: [capacity, blocks], device: device) : nil
        try kernel.launch(
            programs: capacity,
            [
                "dy": dyRows, "weight": weights.down.rows, "gates": gates,
                "weights": weights.choices.flattened, "source": rows.source, "experts": rows.experts,
                "count": rows.count, "dgates": dgates, "activations": activations, "sums": sums,
            ])
        let dChoices = try sums.map { sums in
            let dweights = try NDArray(
                empty: weights.choices.shape, dtype: weights.choices.dtype, device: device)
            try ChoiceGradients(blocks: blocks, dtype: dweights.dtype).launch(
                programs: dweights.count,
                ["sums": sums, "place": rows.place, "dweights": dweights.flattened])
            return dweights
        }
        return BehindGate(
            dyRows: dyRows, dgates: dgates, activations: activations, dChoices: dChoices)
    }

    /// The gradient of the tokens.
    func inputGradient(_ dgates: NDArray, like x: NDArray) throws -> NDArray {
        let results = try rows(hidden)
        try multiply(dgates, weights.gateUp, hasRows: false, into: results)
        return try mixed(results, by: nil, like: x)
    }

    /// dy^T x over the rows of each expert.
    func weightGradient(_ dy: NDArray, _ x: NDArray, like matrices: NDArray) throws -> NDArray {
        let dw = try NDArray(empty: matrices.shape, dtype: dtype, device: device)
        try weightGradient(dy, x, into: dw, accumulate: false)
        return dw
    }

    /// The same, written to an array of any type or added to what it holds.
    func weightGradient(_ dy: NDArray, _ x: NDArray, into dw: NDArray, accumulate: Bool) throws {
        let (lines, columns) = (dw.shape[1], dw.shape[2])
        try ExpertWeightGradient(
            rows: lines, columns: columns, dtype: dtype, stored: dw.dtype, accumulates: accumulate
        ).launch(programs: experts * lines, ["dy": dy, "x": x, "starts": rows.starts, "dw": dw.rows])
    }
}
