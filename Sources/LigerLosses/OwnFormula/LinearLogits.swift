import LigerKernels
public import LigerRuntime
import Tile

/// The logits of some rows of a linear layer, z = x W^T + b, and the layer's gradients of any function of them: for a
/// loss of whole rows whose formula is not this library's. Rows go through in chunks that the caller cuts:
///
///     dx = g W        dW = dW + g^T x        db = db + sum(g)        g = dL/dz
///
/// Logits are fp32 on every device. Sums are fp32, or of the weight's type, in which they are rounded chunk by chunk. On
/// a GPU g is rounded to the weight's type before it is multiplied, in f16 each row over a scale; the sum of the weight's
/// gradient is then over the largest scale that a chunk has needed so far (`WeightedRows`).
///
/// Cost: one product of rows x vocabulary x hidden forward, two backward.
public enum LinearLogits {
    /// - Parameter head: its input is [rows, H].
    /// - Returns: [rows, V], f32.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out; an error that names the package to
    ///   install if there is no library for matrix products.
    public static func forward(head: LinearHead) throws -> NDArray {
        let linear = try LinearChunks(
            input: head.input, weight: head.weight, bias: head.bias, logits: .exact)
        let rows = linear.shape.tokens
        let logits = try NDArray(empty: [rows, linear.shape.vocabulary], device: head.input.device)
        try linear.computeLogits(of: 0..<rows, into: logits)
        return logits
    }

    /// Whether the sum of a weight's gradient is over a scale: in f16 on a GPU.
    public static func scalesSums(weight: NDArray) -> Bool {
        LogitStorage.gradient(weight: weight.dtype, on: weight.device) == .f16
    }

    /// Sets the input's gradient, and adds to those of weight and bias.
    ///
    /// - Parameters:
    ///   - head: as it was given to `forward`.
    ///   - gradient: g, [rows, V], f32.
    ///   - dInput: dx, [rows, H], f32; nil where not needed.
    ///   - weightSum: dW, [V, H], f32 or of the weight's type; nil where not needed.
    ///   - biasSum: db, [V], f32; nil where not needed.
    ///   - scale: [1], f32, where `scalesSums` says so and the weight's gradient is needed: 0 before the first chunk, and
    ///     after each what the sum has to be multiplied by.
    /// - Throws: as `forward`.
    public static func backward(
        head: LinearHead, gradient: NDArray, into dInput: NDArray?, weightSum: NDArray?, biasSum: NDArray?,
        scale: NDArray? = nil
    ) throws {
        let x = try head.input.asRows("input"), weight = head.weight
        let (rows, vocabulary) = (x.shape[0], weight.shape[0])
        try gradient.expect("the logits' gradient", shape: [rows, vocabulary], dtype: .f32)
        try dInput?.expect("the input's gradient", shape: x.shape, dtype: .f32)
        if let weightSum {
            let isOfWeight = weightSum.dtype == weight.dtype
            try weightSum.expect(
                "the weight's gradient", shape: weight.shape, dtype: isOfWeight ? weight.dtype : .f32)
        }
        try biasSum?.expect("the bias' gradient", shape: [vocabulary], dtype: .f32)

        let sumScale = try self.sumScale(scale, weight, hasSum: weightSum != nil)
        let dtype = LogitStorage.gradient(weight: weight.dtype, on: weight.device)
        let g = try rounded(gradient, to: dtype)
        if let weightSum {
            let factor = LogitStorage.isRounded(on: weight.device) ? try Cast.apply(x, to: dtype) : x
            _ = try MatMul.apply(
                g.values, try weighted(factor, g.scales, sumScale, weightSum), transposeA: true,
                into: weightSum, accumulate: true)
        }
        if let biasSum { try ColumnSum.apply(gradient, into: biasSum, accumulate: true) }
        if let dInput {
            _ = try MatMul.apply(g.values, weight, into: dInput)
            if let scales = g.scales { try CrossEntropy.scale(dInput, by: scales) }
        }
    }

    /// x as it is multiplied; brings the sum to its new scale.
    private static func weighted(
        _ x: NDArray, _ scales: NDArray?, _ sumScale: GradientScale?, _ sum: NDArray
    ) throws -> NDArray {
        guard let scales, let sumScale else { return x }
        let rows = try WeightedRows(
            rows: x.shape[0], hidden: x.shape[1], dtype: .f16, scale: sumScale, on: x.device)
        let result = try rows.apply(x, scales: scales)
        if let change = sumScale.takeChange() { try CrossEntropy.scale(sum, by: change) }
        return result
    }

    /// The one that sums are over; nil where there are none.
    private static func sumScale(_ given: NDArray?, _ weight: NDArray, hasSum: Bool) throws -> GradientScale?
    {
        try given?.expect("the scale", shape: [1], dtype: .f32)
        guard scalesSums(weight: weight) else {
            if given == nil { return nil }
            throw RuntimeError(
                "a scale was given for a sum that has none: only those of f16 weights on a GPU do. Leave it out"
            )
        }
        if let given { return try GradientScale(continuing: given) }
        if !hasSum { return nil }
        throw RuntimeError(
            "the sum of an f16 weight's gradient is over a scale on a GPU, and none was given. Give [1] of f32 that "
                + "holds 0 before the first chunk, and multiply the sum by it after the last")
    }

    /// g in a type, in f16 over scales of its rows.
    private static func rounded(_ gradient: NDArray, to dtype: DType) throws -> LogitGradient {
        let (rows, columns) = (gradient.shape[0], gradient.shape[1])
        if dtype == gradient.dtype { return LogitGradient(values: gradient, scales: nil) }
        let scales = dtype == .f16 ? try NDArray(empty: [rows], device: gradient.device) : nil
        let values = try LogitStorage.array(rows, columns, dtype, on: gradient.device)
        try RoundedRows(columns: columns, dtype: dtype).launch(
            programs: rows, ["x": gradient, "y": values, "scales": scales])
        return LogitGradient(values: values, scales: scales)
    }
}

/// y = x in 16 bits, in f16 each row over a scale that is kept with it; one program a row.
struct RoundedRows: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", dtype, rank: 2), c = p.range(columns)
        let scales = dtype == .f16 ? p.output("scales", .f32, rank: 1) : nil
        let row = x[p.index, c]
        y[p.index, c] = scales.map { overRowScale(row, $0, p) } ?? row
    }
}
