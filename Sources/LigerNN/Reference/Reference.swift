package import LigerKernels
package import LigerRuntime
import Tile

/// Operations written out in elementary steps, as their formulas read: what the fused ones are checked
/// against, and the baseline of their time and memory. Every intermediate result is materialised.
package enum Reference {
    /// x / sqrt(mean(x^2) + eps) (weight + offset), over the last dimension; with Llama's casting x̂ is rounded to x's
    /// type before the weight multiplies it.
    package static func rmsNorm(
        _ x: Tensor, weight: Tensor, _ options: RMSNorm.Options
    ) throws -> Tensor {
        let wide = try x.cast(to: .f32)
        let columns = x.value.rows.shape[1]
        let means = try wide.multiplied(by: wide).rowSums().mapped(.scaled(by: 1 / Float(columns)))
        let scale = try means.mapped(.plus(options.eps)).mapped(.rsqrt)
        let factor = try options.offset == 0 ? weight : weight.cast(to: .f32).mapped(.plus(options.offset))
        let scaled = try wide.multiplied(byNumberPerRow: scale)
        let rounded = try options.casting == .llama ? scaled.cast(to: x.dtype) : scaled
        return try rounded.multiplied(byRow: factor).cast(to: x.dtype)
    }

    /// (x - mean) / sqrt(mean((x - mean)^2) + eps) weight + bias, over the last dimension.
    package static func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws -> Tensor {
        let wide = try x.cast(to: .f32)
        let share = ElementFunction.scaled(by: 1 / Float(x.value.rows.shape[1]))
        let deviations = try wide.subtracting(numberPerRow: wide.rowSums().mapped(share))
        let variances = try deviations.multiplied(by: deviations).rowSums().mapped(share)
        let scale = try variances.mapped(.plus(eps)).mapped(.rsqrt)
        return try deviations.multiplied(byNumberPerRow: scale).multiplied(byRow: weight).adding(row: bias)
            .cast(to: x.dtype)
    }

    /// x cos + (the other of each pair, the first with a minus) sin, for x [batch, sequence, heads, head size]. Where
    /// documents share rows, positions count from their starts.
    package static func rope(
        _ x: Tensor, _ tables: RotaryTables.Slice, _ pairing: RotaryPairing, _ documents: DocumentBorders?
    ) throws -> Tensor {
        var (cos, sin) = try tables.spread(pairing, headSize: x.shape[3])
        if let positions = documents?.positions {
            cos = try Embedding.forward(ids: positions, table: cos)
            sin = try Embedding.forward(ids: positions, table: sin)
        }
        let others = try x.exchangingPairs(pairing, count: tables.cos.shape[1])
        return try x.multiplied(byTable: cos).adding(others.multiplied(byTable: sin))
    }

    /// x Φ(x), as `geGLU` has it.
    package static func gelu(_ x: Tensor) throws -> Tensor {
        let factor = 2 * (2 / Float.pi).squareRoot()
        let square = try x.multiplied(by: x)
        let inner = try x.multiplied(
            by: square.mapped(.scaled(by: 0.044715 * factor)).mapped(.plus(factor)))
        return try x.multiplied(by: inner.mapped(.sigmoid))
    }

    /// cap tanh(x / cap).
    package static func softcap(_ x: Tensor, by cap: Float) throws -> Tensor {
        try x.mapped(.scaled(by: 1 / cap)).mapped(.tanh).mapped(.scaled(by: cap))
    }

    /// gate sigmoid(gate) up.
    package static func swiGLU(gate: Tensor, up: Tensor) throws -> Tensor {
        try gate.multiplied(by: gate.mapped(.sigmoid)).multiplied(by: up)
    }

    /// gate Φ(gate) up, with Φ(a) = (1 + tanh(u)) / 2 = sigmoid(2 u), u = √(2/π) (a + 0.044715 a³).
    package static func geGLU(gate: Tensor, up: Tensor) throws -> Tensor {
        let factor = 2 * (2 / Float.pi).squareRoot()
        let square = try gate.multiplied(by: gate)
        let inner = try gate.multiplied(
            by: square.mapped(.scaled(by: 0.044715 * factor)).mapped(.plus(factor)))
        return try gate.multiplied(by: inner.mapped(.sigmoid)).multiplied(by: up)
    }

    /// -log softmax(logits)[label], summed over the labels that are not ignored and divided by their
    /// number or by `normaliser`.
    ///
    /// - Parameters:
    ///   - logits: [tokens, vocabulary].
    ///   - labels: [tokens], i64 or i32.
    ///   - normaliser: one f32 to divide by.
    package static func crossEntropy(
        _ logits: Tensor, labels: NDArray, ignoreIndex: Int, normaliser: NDArray?
    ) throws -> Tensor {
        let wide = try logits.cast(to: .f32)
        let shifted = try wide.subtracting(numberPerRow: wide.detachedRowMaxima())
        let logSums = try shifted.mapped(.exp).rowSums().mapped(.log)
        let picked = try shifted.subtracting(numberPerRow: logSums)
            .gathered(labels, ignoreIndex: ignoreIndex)
        let count = try normaliser ?? countLabels(labels, ignoreIndex: ignoreIndex)
        let factor = try Elementary.mapped(
            Elementary.mapped(count.reshaped([1]), .reciprocal), .scaled(by: -1))
        let total = try picked.reshaped([1, picked.value.count]).rowSums()
        return try total.multiplied(by: logits.tape.constant(factor))
    }

    /// How many labels are not ignored, [1], at least 1.
    static func countLabels(_ labels: NDArray, ignoreIndex: Int) throws -> NDArray {
        let number = try NDArray(empty: [1], device: labels.device)
        try CountLabelsKernel(labels: labels.dtype).launch(
            programs: 1, ["labels": labels, "number": number],
            scalars: ["ignored": .index(ignoreIndex)])
        return number
    }
}

extension Tensor {
    /// y[row] = self[row, labels[row]], 0 where ignored.
    func gathered(_ labels: NDArray, ignoreIndex: Int) throws -> Tensor {
        let columns = shape[1], shape = shape
        let y = try NDArray(empty: [shape[0]], device: value.device)
        try GatherLabelKernel(columns: columns, labels: labels.dtype).launch(
            programs: shape[0], ["x": value, "labels": labels, "y": y],
            scalars: ["ignored": .index(ignoreIndex)])
        return tape.record(y, from: [self]) { upstream in
            let dx = try NDArray(empty: shape, device: y.device)
            try ScatterLabelKernel(columns: columns, labels: labels.dtype).launch(
                programs: shape[0], ["labels": labels, "dy": upstream.array, "dx": dx],
                scalars: ["ignored": .index(ignoreIndex)])
            return [.array(dx)]
        }
    }
}
