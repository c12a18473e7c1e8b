import LigerKernels
import LigerRuntime
import Tile

extension Tensor {
    /// x W^T + bias: a linear map of each row.
    ///
    /// - Parameters:
    ///   - weight: W [outputs, inputs].
    ///   - bias: [outputs], or none.
    ///   - isTransposed: whether `weight` is W^T [inputs, outputs].
    ///   - part: of a block, by whose recomputation the product is computed again; nil for one that is kept.
    /// - Returns: [rows, outputs], for self [rows, inputs].
    package func linear(
        _ weight: Tensor, bias: Tensor? = nil, isTransposed: Bool = false, part: RecomputedParts? = nil
    ) throws -> Tensor {
        let (input, matrix) = (saved, weight.saved)
        let y = try MatMul.apply(value, weight.value, transposeB: !isTransposed)
        let again = tape.recipe(part, operations: 2 * Double(shape[0]) * Double(weight.value.count)) {
            try MatMul.apply(input.array(), matrix.array(), transposeB: !isTransposed)
        }
        let (w, x) = (requiresGradient ? matrix : nil, weight.requiresGradient ? saved : nil)
        let product = tape.record(y, from: [self, weight], recipe: again) { upstream in
            let dy = upstream.array
            return [
                try w.map { .product(MatrixTerm(dy, try $0.array(), transposeB: isTransposed)) } ?? .none,
                try x.map {
                    let x = try $0.array()
                    return .product(
                        isTransposed
                            ? MatrixTerm(x, dy, transposeA: true) : MatrixTerm(dy, x, transposeA: true))
                } ?? .none,
            ]
        }
        guard let bias else { return product }
        return try product.adding(row: bias)
    }

    /// Sum with one row [columns], added to every row of self [rows, columns].
    package func adding(row: Tensor) throws -> Tensor {
        let bias = row.value
        let add = { (x: NDArray) in
            let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
            try AddRowKernel(columns: x.shape[1], x: x.dtype, row: bias.dtype).launch(
                programs: x.shape[0], ["x": x, "row": bias, "y": y])
            return y
        }
        let (needsRow, again) = (row.requiresGradient, recipe(applying: add))
        return tape.record(try add(value), from: [self, row], recipe: again) { upstream in
            let dy = upstream.array
            guard needsRow else { return [.array(dy), .none] }
            let wide = try Cast.apply(dy, to: .f32)
            return [.array(dy), .array(try ColumnSum.apply(wide, dtype: .f32))]
        }
    }
}
