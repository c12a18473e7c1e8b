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
    /// - Returns: [rows, outputs], for self [rows, inputs].
    package func linear(
        _ weight: Tensor, bias: Tensor? = nil, isTransposed: Bool = false
    ) throws -> Tensor {
        let y = try MatMul.apply(value, weight.value, transposeB: !isTransposed)
        let (w, x) = (requiresGradient ? weight.value : nil, weight.requiresGradient ? saved : nil)
        let product = tape.record(y, from: [self, weight]) { upstream in
            let dy = upstream.array
            return [
                w.map { .product(MatrixTerm(dy, $0, transposeB: isTransposed)) } ?? .none,
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
        let y = try NDArray(empty: shape, dtype: dtype, device: value.device)
        try AddRowKernel(columns: shape[1], x: dtype, row: row.dtype).launch(
            programs: shape[0], ["x": value, "row": row.value, "y": y])
        let needsRow = row.requiresGradient
        return tape.record(y, from: [self, row]) { upstream in
            let dy = upstream.array
            guard needsRow else { return [.array(dy), .none] }
            let wide = try Cast.apply(dy, to: .f32)
            return [.array(dy), .array(try ColumnSum.apply(wide, dtype: .f32))]
        }
    }
}
