import LigerKernels
public import LigerRuntime
import Tile

/// The logits of some rows of a linear layer, z = x W^T + b, and the layer's gradients of any function of them: for a
/// loss of whole rows whose formula is not this library's. Rows go through in chunks that the caller cuts:
///
///     dx = g W        dW = dW + g^T x        db = db + sum(g)        g = dL/dz
///
/// Sums are fp32, or of the weight's type, in which they are rounded chunk by chunk. On a GPU g is rounded to the weight's type before it is multiplied, in f16 after it was multiplied by
/// 2^10: gradients of a sum over rows, whose entries are below 2^6, keep their digits.
///
/// Cost: one product of rows x vocabulary x hidden forward, two backward.
public enum LinearLogits {
    private static let scaleInF16: Float = 0x1p10

    /// - Parameter head: its input is [rows, H].
    /// - Returns: [rows, V], f32.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out; an error that names the package to
    ///   install if there is no library for matrix products.
    public static func forward(head: LinearHead) throws -> NDArray {
        let linear = try LinearChunks(input: head.input, weight: head.weight, bias: head.bias)
        let rows = linear.shape.tokens
        let logits = try NDArray(empty: [rows, linear.shape.vocabulary], device: head.input.device)
        try linear.computeLogits(of: 0..<rows, into: logits)
        return logits
    }

    /// Sets the input's gradient, and adds to those of weight and bias.
    ///
    /// - Parameters:
    ///   - head: as it was given to `forward`.
    ///   - gradient: g, [rows, V], f32.
    ///   - dInput: dx, [rows, H], f32; nil where not needed.
    ///   - weightSum: dW, [V, H], f32 or of the weight's type; nil where not needed.
    ///   - biasSum: db, [V], f32; nil where not needed.
    /// - Throws: as `forward`.
    public static func backward(
        head: LinearHead, gradient: NDArray, into dInput: NDArray?, weightSum: NDArray?, biasSum: NDArray?
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

        let isRounded = LogitStorage.isRounded(on: weight.device), dtype = isRounded ? weight.dtype : .f32
        let scale = dtype == .f16 ? scaleInF16 : 1
        let g = try Cast.apply(gradient, to: dtype, times: scale)
        if let weightSum {
            let x = isRounded ? try Cast.apply(x, to: dtype) : x
            _ = try MatMul.apply(
                g, x, transposeA: true, into: weightSum, alpha: 1 / scale, accumulate: true)
        }
        if let biasSum { try ColumnSum.apply(gradient, into: biasSum, accumulate: true) }
        if let dInput { _ = try MatMul.apply(g, weight, into: dInput, alpha: 1 / scale) }
    }
}
