import LigerRuntime

/// a b^T of factors in 8 bits, summed in fp32.
struct Float8Term: SumTerm {
    let a: Float8Factor
    let b: Float8Factor

    var device: Device { a.values.device }

    func apply(into sum: NDArray, accumulate: Bool) throws {
        let shape = [a.values.shape[0], b.values.shape[0]]
        _ = try MatMul.apply(a, b, into: sum.reshaped(shape), accumulate: accumulate)
    }
}
