import LigerKernels
package import LigerRuntime
package import Tile

// Elementary differentiable operations, each its own pass over memory with its own result. The reference
// operations are written with these and nothing else, independent of the fused kernels they check.

extension Tensor {
    /// The same numbers in another storage type.
    package func cast(to dtype: DType) throws -> Tensor {
        let own = self.dtype
        if own == dtype { return self }
        return tape.record(try Cast.apply(value, to: dtype), from: [self]) { upstream in
            [.array(try Cast.apply(upstream.array, to: own))]
        }
    }

    /// f of each element.
    package func mapped(_ function: ElementFunction) throws -> Tensor {
        let (x, dtype) = (value.flattened, dtype)
        let y = try NDArray(empty: shape, dtype: dtype, device: value.device)
        try FunctionKernel(function: function, dtype: dtype).launch(
            programs: Elementwise.programs(of: y), ["x": x, "y": y.flattened])
        return tape.record(y, from: [self]) { upstream in
            let dx = try NDArray(empty: y.shape, dtype: dtype, device: y.device)
            try FunctionDerivativeKernel(function: function, dtype: dtype).launch(
                programs: Elementwise.programs(of: dx),
                [
                    "x": x, "y": y.flattened, "dy": upstream.array.flattened, "dx": dx.flattened,
                ])
            return [.array(dx)]
        }
    }

    /// Product of two tensors of one shape, in the left one's storage type.
    package func multiplied(by other: Tensor) throws -> Tensor {
        let (a, b) = (value, other.value)
        let needs = (requiresGradient, other.requiresGradient)
        return tape.record(try Elementary.product(a, b, a.dtype), from: [self, other]) { upstream in
            [
                needs.0 ? .array(try Elementary.product(upstream.array, b, a.dtype)) : .none,
                needs.1 ? .array(try Elementary.product(upstream.array, a, b.dtype)) : .none,
            ]
        }
    }

    /// Each row times its own number: self [rows, columns], numbers [rows], f32.
    package func multiplied(byNumberPerRow numbers: Tensor) throws -> Tensor {
        let (x, b) = (value.rows, numbers.value)
        let y = try Elementary.broadcast(.multiply, x, b).reshaped(shape)
        let needs = (requiresGradient, numbers.requiresGradient)
        return tape.record(y, from: [self, numbers]) { [shape] upstream in
            let dy = upstream.array.rows
            return [
                needs.0 ? .array(try Elementary.broadcast(.multiply, dy, b).reshaped(shape)) : .none,
                needs.1
                    ? .array(try Elementary.rowReduction(.sum, try Elementary.product(dy, x, .f32))) : .none,
            ]
        }
    }

    /// Each row times one row: self [rows, columns], row [columns].
    package func multiplied(byRow row: Tensor) throws -> Tensor {
        let x = value.rows, table = row.value.reshaped([1, row.value.count])
        let y = try Elementary.broadcast(.multiply, x, table).reshaped(shape)
        let needsRow = row.requiresGradient
        return tape.record(y, from: [self, row]) { [shape] upstream in
            let dy = upstream.array.rows
            return [
                .array(try Elementary.broadcast(.multiply, dy, table).reshaped(shape)),
                needsRow ? .array(try ColumnSum.apply(Elementary.product(dy, x, .f32), dtype: .f32)) : .none,
            ]
        }
    }

    /// self [batch, sequence, heads, columns] times a table of constants [sequence, columns].
    package func multiplied(byTable table: NDArray) throws -> Tensor {
        let heads = self.shape[2]
        let y = try Elementary.broadcast(.multiply, value.rows, table, divisor: heads).reshaped(shape)
        return tape.record(y, from: [self]) { [shape] upstream in
            [
                .array(
                    try Elementary.broadcast(.multiply, upstream.array.rows, table, divisor: heads).reshaped(
                        shape))
            ]
        }
    }

    /// Each row less its own number: self [rows, columns], numbers [rows], f32.
    package func subtracting(numberPerRow numbers: Tensor) throws -> Tensor {
        let y = try Elementary.broadcast(.subtract, value.rows, numbers.value).reshaped(shape)
        let needsNumbers = numbers.requiresGradient
        return tape.record(y, from: [self, numbers]) { upstream in
            guard needsNumbers else { return [.array(upstream.array), .none] }
            let sums = try Elementary.rowReduction(.sum, upstream.array.rows)
            return [.array(upstream.array), .array(try Elementary.mapped(sums, .scaled(by: -1)))]
        }
    }

    /// Sum of each row: [rows], f32.
    package func rowSums() throws -> Tensor {
        let (shape, dtype, device) = (shape, dtype, value.device)
        return tape.record(try Elementary.rowReduction(.sum, value.rows), from: [self]) { upstream in
            let dx = try NDArray(empty: shape, dtype: dtype, device: device)
            try SpreadKernel(columns: dx.rows.shape[1], sign: 1, dtype: dtype).launch(
                programs: dx.rows.shape[0], ["x": upstream.array, "y": dx.rows])
            return [.array(dx)]
        }
    }

    /// Largest element of each row, [rows], f32: a constant, not differentiated.
    package func detachedRowMaxima() throws -> Tensor {
        tape.constant(try Elementary.rowReduction(.maximum, value.rows))
    }

    /// The two of each of `count` pairs of a row exchanged, the first of the result with a minus; 0 in the rest.
    package func exchangingPairs(_ pairing: RotaryPairing, count: Int) throws -> Tensor {
        let y = try Elementary.exchangedPairs(value, pairing, count: count, sign: 1)
        return tape.record(y, from: [self]) { upstream in
            let dx = try Elementary.exchangedPairs(upstream.array, pairing, count: count, sign: -1)
            return [.array(dx)]
        }
    }
}
