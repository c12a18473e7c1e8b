import LigerKernels
import LigerRuntime
import Tile

extension Parameter {
    /// Numbers of a matrix that are widened at a time.
    private static let numbersAtATime = 1 << 24

    /// The lengths of the rows of this matrix, [rows], f32; of this matrix plus s b a where `addition` is given. Summed
    /// in fp32, some rows at a time: 64 MiB or one row.
    func rowNorms(
        adding addition: (b: NDArray, a: NDArray, scale: Float)? = nil
    ) throws -> NDArray {
        let (rows, columns) = (shape[0], shape[1])
        let norms = try NDArray(empty: [rows], device: value.device)
        let step = max(1, min(rows, Self.numbersAtATime / columns))
        for start in stride(from: 0, to: rows, by: step) {
            let range = start..<min(start + step, rows)
            let wide = try NDArray(empty: [range.count, columns], device: value.device)
            try Elementwise.copyRows(value.sliced(0, range), into: wide)
            if let addition {
                _ = try MatMul.apply(
                    addition.b.sliced(0, range), addition.a, into: wide, alpha: addition.scale,
                    accumulate: true)
            }
            try RowNormKernel(columns: columns).launch(
                programs: range.count, ["x": wide, "norms": norms.sliced(0, range)])
        }
        return norms
    }
}

extension Tensor {
    /// This tensor [rows, columns], each column times its magnitude over its norm.
    ///
    /// - Parameter norms: [columns], f32; constants.
    func scaled(rows magnitude: Parameter, norms: NDArray) throws -> Tensor {
        let m = magnitude.value
        func scaled(_ x: NDArray) throws -> NDArray {
            let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
            try ScaleColumnsKernel(columns: x.shape[1], x: x.dtype, magnitude: m.dtype).launch(
                programs: x.shape[0], ["x": x, "magnitude": m, "norms": norms, "y": y])
            return y
        }
        let (z, recipe) = (saved, recipe(applying: scaled))
        return tape.record(
            try scaled(value), from: [self, tape.tensor(of: magnitude)],
            again: { try scaled(z.array()) }, recipe: recipe
        ) { upstream in
            let dy = upstream.array
            let products = try NDArray(empty: dy.shape, device: dy.device)
            try MultiplyByColumnNormKernel(columns: dy.shape[1], dtype: dy.dtype).launch(
                programs: dy.shape[0], ["dy": dy, "z": z.array(), "norms": norms, "y": products])
            return [.array(try scaled(dy)), .array(try ColumnSum.apply(products, dtype: .f32))]
        }
    }
}

extension NDArray {
    /// Multiplies each row of this matrix by its factor over its divisor, both [rows], in place.
    func scaleRows(by factors: NDArray, over divisors: NDArray) throws {
        try ScaleRowsKernel(columns: shape[1], x: dtype, factor: factors.dtype).launch(
            programs: shape[0], ["x": self, "factors": factors, "divisors": divisors])
    }

    /// [count, 1], sharing the buffer.
    var asColumn: NDArray { reshaped([count, 1]) }
}

/// norms[row] = sqrt(sum of squares); one program a row.
struct RowNormKernel: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), norms = p.output("norms", .f32, rank: 1)
        let v = x[p.index, p.range(columns)]
        norms[p.index] = sqrt(sum(v * v))
    }
}

/// y = x magnitude / norms, column by column; one program a row.
struct ScaleColumnsKernel: TileKernel {
    let columns: Int
    let x: DType
    let magnitude: DType

    func body(_ p: Program) {
        let x = p.input("x", x, rank: 2)
        let magnitude = p.input("magnitude", magnitude, rank: 1), norms = p.input("norms", .f32, rank: 1)
        let y = p.output("y", self.x, rank: 2)
        let c = p.range(columns)
        y[p.index, c] = x[p.index, c] * (magnitude[c] / norms[c])
    }
}

/// y = dy z / norms, in fp32; one program a row.
struct MultiplyByColumnNormKernel: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2), z = p.input("z", dtype, rank: 2)
        let norms = p.input("norms", .f32, rank: 1), y = p.output("y", .f32, rank: 2)
        let c = p.range(columns)
        y[p.index, c] = dy[p.index, c] * z[p.index, c] / norms[c]
    }
}

/// x = x factor / divisor, row by row; one program a row.
struct ScaleRowsKernel: TileKernel {
    let columns: Int
    let x: DType
    let factor: DType

    func body(_ p: Program) {
        let x = p.update("x", x, rank: 2)
        let factors = p.input("factors", factor, rank: 1), divisors = p.input("divisors", .f32, rank: 1)
        let c = p.range(columns)
        x[p.index, c] = x[p.index, c] * (factors[p.index] / divisors[p.index])
    }
}
