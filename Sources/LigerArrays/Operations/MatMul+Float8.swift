package import Tile

/// A matrix as a factor of products that sum over its columns: scale times values, in 8 bits an element.
package struct Float8Factor {
    /// [rows, columns], e4m3 or e5m2, contiguous.
    package let values: NDArray
    /// f32 [1], on the same device.
    package let scale: NDArray

    package init(values: NDArray, scale: NDArray) {
        self.values = values
        self.scale = scale
    }
}

extension MatMul {
    /// Both sizes of a product's result but its rows, and the length of its sums, are multiples of this.
    package static let float8Multiple = 16

    /// c = a b^T or c = c + a b^T, of factors in 8-bit floats.
    ///
    /// On a GPU the tensor cores multiply, exactly, and sum in fp32, or with `sumsFast` in fewer bits. The scales are read
    /// there: the host waits for nothing. On the processor elements are widened and multiplied in fp32.
    ///
    /// - Parameters:
    ///   - a: [rows, inner].
    ///   - b: [columns, inner]; at most one factor is e5m2. Inner and columns are multiples of 16.
    ///   - c: [rows, columns], contiguous, f32 or 16 bits; nil makes a new array of type `dtype`.
    ///   - accumulate: adds to what `c` holds.
    ///   - sumsFast: for results whose errors do not add up, such as those of a forward pass.
    /// - Throws: `RuntimeError` if shapes, types or the device do not fit or memory runs out.
    /// - Cost: 2 rows columns inner operations, on a GPU at about twice the rate of 16-bit products.
    package static func apply(
        _ a: Float8Factor, _ b: Float8Factor, into c: NDArray? = nil, dtype: DType = .bf16,
        accumulate: Bool = false, sumsFast: Bool = false
    ) throws -> NDArray {
        let (left, right) = (try operand("a", a), try operand("b", b))
        let multiple = float8Multiple
        guard a.values.shape[1] == b.values.shape[1], b.values.shape.allSatisfy({ $0 % multiple == 0 }) else {
            throw RuntimeError(
                "a product of 8-bit floats of \(a.values.shape) by \(b.values.shape) transposed. Second sizes must be "
                    + "equal, and both of the second factor multiples of \(multiple)")
        }
        guard a.values.dtype == .e4m3 || b.values.dtype == .e4m3 else {
            throw RuntimeError("a product of e5m2 by e5m2. Tensor cores have none: give one factor as e4m3")
        }
        let shape = [a.values.shape[0], b.values.shape[0]]
        let result = try c ?? NDArray(empty: shape, dtype: dtype, device: a.values.device)
        guard result.shape == shape, result.isContiguous, result.dtype.isFloat, c != nil || !accumulate else {
            throw RuntimeError(
                "the result of a product of 8-bit floats must be of shape \(shape), contiguous, f32, bf16 or f16; found "
                    + "\(result.dtype.rawValue) of shape \(result.shape) with strides \(result.strides)")
        }
        let device = result.device
        try Device.common([a.values, a.scale, b.values, b.scale, result], "a product of 8-bit floats")
        guard device.traits.multipliesFloat8 else {
            throw RuntimeError(
                "\(device.traits.model ?? device.name) has no products of 8-bit floats, which begin with compute "
                    + "capability 8.9. Multiply in 16 bits")
        }
        try device.backend.multiply(
            Multiplication(
                a: left, b: right, c: MatrixOperand("c", result, transposed: false), accumulates: accumulate,
                sumsFast: sumsFast))
        return result
    }

    private static func operand(_ name: String, _ factor: Float8Factor) throws -> MatrixOperand {
        let (values, scale) = (factor.values, factor.scale)
        guard values.dtype.isFloat8, values.shape.count == 2, values.isContiguous, scale.dtype == .f32,
            scale.count == 1
        else {
            throw RuntimeError(
                "\(name) of a product of 8-bit floats must be a contiguous matrix of e4m3 or e5m2 with one f32 scale; "
                    + "found \(values.dtype.rawValue) of shape \(values.shape) with strides \(values.strides) and a scale "
                    + "of \(scale.dtype.rawValue) \(scale.shape)")
        }
        let isSecond = name == "b"
        var operand = MatrixOperand(
            address: values.address, dtype: values.dtype, rows: values.shape[isSecond ? 1 : 0],
            columns: values.shape[isSecond ? 0 : 1], rowStride: max(values.shape[1], 1),
            isTransposed: isSecond)
        operand.scale = scale.address
        return operand
    }
}
