import LigerKernels
package import LigerRuntime
import Tile

/// The chunk loop that losses over logits = x W^T + b share: whole logits never exist.
///
/// Per chunk: logits into one buffer, which the loss overwrites with their gradient g; then dx = g W,
/// dW = dW + g^T x and db = db + sum(g), summed over chunks in fp32.
///
/// Logits and g are of the type, and g of the scale, that `LogitStorage` says. Where that is the weight's type, x is
/// rounded to it too.
package struct LinearChunks {
    package struct Gradients {
        package var input: NDArray?
        package var weight: NDArray?
        package var bias: NDArray?
    }

    private let input: NDArray
    private let inputType: DType
    private let weight: NDArray
    private let bias: NDArray?
    /// What the loss multiplies the logits' gradient by; a power of two, which the gradients here are free of.
    package let gradientScale: Float

    /// - Parameter gradientScale: nil takes the one for the logits' type.
    /// - Throws: `RuntimeError` if shapes or types do not fit together.
    package init(input: NDArray, weight: NDArray, bias: NDArray?, gradientScale: Float? = nil) throws {
        let rows = try input.asRows("input")
        guard weight.shape.count == 2, weight.shape[0] > 0, weight.shape[1] == rows.shape[1] else {
            throw RuntimeError(
                "the weight must be [vocabulary, \(rows.shape[1])] for an input of shape \(input.shape); "
                    + "found shape \(weight.shape)")
        }
        try weight.expectFloats("weight", shape: weight.shape)
        try bias?.expectFloats("bias", shape: [weight.shape[0]])
        let isRounded = LogitStorage.isRounded(on: input.device)
        self.input = isRounded ? try Cast.apply(rows, to: weight.dtype) : rows
        inputType = input.dtype
        self.weight = weight
        self.bias = bias
        let logits = LogitStorage.dtype(weight: weight.dtype, on: input.device)
        self.gradientScale = gradientScale ?? LogitStorage.gradientScale(logits)
    }

    package var shape: LinearShape {
        LinearShape(
            tokens: input.shape[0], hidden: input.shape[1], vocabulary: weight.shape[0], input: input.dtype,
            weight: weight.dtype, bias: bias?.dtype,
            logits: LogitStorage.dtype(weight: weight.dtype, on: input.device))
    }

    /// Runs a loss over all chunks.
    ///
    /// - Parameters:
    ///   - exact: sums weight gradients in fp32 whatever their type; else they are rounded chunk by chunk.
    ///   - loss: gets a chunk's logits, [rows of the range, V], and the range of its rows. If any
    ///     gradient is needed it leaves the logits' gradient, times `gradientScale`, in their place.
    /// - Returns: the needed gradients, like what they belong to.
    package func run(
        _ plan: ChunkPlan, needs: LinearNeeds, exact: Bool,
        _ loss: (_ logits: NDArray, _ rows: Range<Int>) throws -> Void
    ) throws -> Gradients {
        let chunks = (0..<plan.chunks).map { chunk in
            let start = chunk * plan.chunkTokens
            return [start..<min(start + plan.chunkTokens, plan.tokens)]
        }
        return try run(plan, chunks, needs: needs, exact: exact) { logits, pieces in
            try loss(logits, pieces[0])
        }
    }

    /// As above, over chunks of rows that need not be neighbours.
    ///
    /// - Parameters:
    ///   - chunks: the pieces of each, no more rows than the plan's chunks have. All rows must occur once.
    ///   - loss: gets the logits of the pieces one after the other.
    package func run(
        _ plan: ChunkPlan, _ chunks: [[Range<Int>]], needs: LinearNeeds, exact: Bool,
        _ loss: (_ logits: NDArray, _ pieces: [Range<Int>]) throws -> Void
    ) throws -> Gradients {
        let dInput = needs.contains(.input) ? try like(input, input.dtype) : nil
        let separates = ChunkPlan.separatesSums(weight.dtype, exact, chunks: plan.chunks)
        let sums = needs.contains(.weight) && separates ? try WeightSums(like: weight) : nil
        let dWeight = needs.contains(.weight) && !separates ? try like(weight, weight.dtype) : nil
        let dBias = needs.contains(.bias) ? try bias.map { try like($0, .f32) } : nil
        let buffer = try NDArray(
            empty: [plan.chunkTokens, weight.shape[0]], dtype: shape.logits, device: input.device)
        let gathered =
            chunks.contains { $0.count > 1 }
            ? try NDArray(
                empty: [plan.chunkTokens, input.shape[1]], dtype: input.dtype, device: input.device)
            : nil
        let alpha = 1 / gradientScale
        for (chunk, pieces) in chunks.enumerated() {
            let x = try rows(pieces, gathered)
            let logits = buffer.sliced(0, 0..<x.shape[0])
            try computeLogits(of: x, into: logits)
            try loss(logits, pieces)
            if let dWeight {
                _ = try MatMul.apply(
                    logits, x, transposeA: true, into: dWeight, alpha: alpha, accumulate: chunk > 0)
            }
            try sums?.add(logits, x, alpha: alpha, accumulate: chunk > 0)
            if let dBias { try ColumnSum.apply(logits, into: dBias, accumulate: chunk > 0) }
            if let dInput { try differentiateInput(logits, pieces, gathered: x, into: dInput) }
        }
        return Gradients(
            input: try dInput.map { try Cast.apply($0, to: inputType) },
            weight: try sums?.rounded(scratch: buffer.buffer) ?? dWeight,
            bias: try dBias.map { try Cast.apply($0, to: bias?.dtype ?? .f32, times: alpha) })
    }

    /// The input's rows of some pieces: as they lie, or gathered.
    private func rows(_ pieces: [Range<Int>], _ gathered: NDArray?) throws -> NDArray {
        guard let gathered, pieces.count > 1 else { return input.sliced(0, pieces[0]) }
        var end = 0
        for piece in pieces {
            try input.sliced(0, piece).copyBytes(to: gathered.sliced(0, end..<(end + piece.count)))
            end += piece.count
        }
        return gathered.sliced(0, 0..<end)
    }

    /// dx = g W of some pieces; gathered rows of x, which nobody needs any more, are where it lies on the way.
    private func differentiateInput(
        _ g: NDArray, _ pieces: [Range<Int>], gathered x: NDArray, into dInput: NDArray
    ) throws {
        if pieces.count == 1 {
            _ = try MatMul.apply(g, weight, into: dInput.sliced(0, pieces[0]), alpha: 1 / gradientScale)
            return
        }
        _ = try MatMul.apply(g, weight, into: x, alpha: 1 / gradientScale)
        var start = 0
        for piece in pieces {
            try x.sliced(0, start..<(start + piece.count)).copyBytes(to: dInput.sliced(0, piece))
            start += piece.count
        }
    }

    /// The logits of a range of rows, in fp32.
    package func computeLogits(of rows: Range<Int>, into logits: NDArray) throws {
        try computeLogits(of: input.sliced(0, rows), into: logits)
    }

    private func computeLogits(of x: NDArray, into logits: NDArray) throws {
        if let bias {
            try RepeatRow(columns: weight.shape[0], dtype: bias.dtype, result: logits.dtype).launch(
                programs: x.shape[0], [bias, logits])
        }
        _ = try MatMul.apply(x, weight, transposeB: true, into: logits, accumulate: bias != nil)
    }

    /// Zeros if no chunk will write them.
    private func like(_ array: NDArray, _ dtype: DType) throws -> NDArray {
        input.shape[0] == 0
            ? try NDArray.zeros(array.shape, dtype: dtype, device: array.device)
            : try NDArray(empty: array.shape, dtype: dtype, device: array.device)
    }
}

/// y[r] = x for every row r; one program a row.
struct RepeatRow: TileKernel {
    let columns: Int
    let dtype: DType
    let result: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), y = p.output("y", result, rank: 2)
        let c = p.range(columns)
        y[p.index, c] = x[c]
    }
}
