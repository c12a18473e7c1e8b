package import LigerKernels
package import LigerRuntime
import Tile

/// A chunk of a `ShardedLinearCrossEntropy` of exponentials, for callers that go from chunk to chunk themselves.
package struct SharedChunk {
    package struct Result {
        /// Each token's part of the loss, [tokens], f32.
        package let losses: NDArray
        /// This rank's part, [tokens, hidden], f32; nil where not needed.
        package let dInput: NDArray?
        /// Like the rank's rows of the weight; nil where not needed, or where it was added to sums.
        package let dWeight: NDArray?
    }

    private let layer: ExponentialBlocks.Layer
    private let e: NDArray
    private let classes: Int

    /// - Parameters:
    ///   - e: [tokens, own classes], of one type with the weight.
    ///   - classes: of all ranks.
    package init(_ layer: ExponentialBlocks.Layer, e: NDArray, of classes: Int) {
        (self.layer, self.e, self.classes) = (layer, e, classes)
    }

    /// The loss over `normaliser`, one f32, and its gradients.
    ///
    /// - Parameters:
    ///   - found: of each token.
    ///   - sums: [own classes, hidden], f32 or of the weight's type: its gradient of chunks before, to which this one's is added, or which it
    ///     replaces where it does not accumulate; nil gives it rounded.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    package func gradients(
        _ found: LabelExponentials.Result, normaliser: NDArray, adding sums: NDArray?, accumulates: Bool,
        needs: LinearNeeds
    ) throws -> Result {
        let (x, weight, tokens) = (layer.x, layer.weight, layer.tokens)
        try sums.map {
            try $0.expect("the sums", shape: weight.shape, dtype: $0.dtype == .f32 ? .f32 : weight.dtype)
        }
        let task = try CrossEntropyTask(
            labels: layer.labels, rows: tokens, classes: classes, classWeights: nil,
            options: CrossEntropy.Options(ignoreIndex: layer.options.ignoreIndex), normaliser: normaliser,
            wants: [], device: x.device)
        let factors = try NDArray(empty: [tokens], device: x.device)
        try task.run(nll: found.nll, 0..<tokens, total: found.total, factors: factors)
        var dInput: NDArray?
        var dWeight: NDArray?
        if needs.contains(.input) {
            let product = try NDArray(empty: x.shape, device: x.device)
            _ = try MatMul.apply(e, weight, into: product)
            try CrossEntropy.scale(product, by: factors)
            dInput = product
        }
        if needs.contains(.weight) {
            let weighted = try WeightedRows(rows: tokens, hidden: x.shape[1], dtype: e.dtype, on: x.device)
            let result = try sums ?? NDArray(empty: weight.shape, dtype: weight.dtype, device: x.device)
            try WeightGradient.multiply(
                e, weighted.apply(x, scales: factors), into: result,
                accumulate: sums != nil && accumulates)
            if sums == nil { dWeight = result }
        }
        return Result(losses: task.loss, dInput: dInput, dWeight: dWeight)
    }
}
