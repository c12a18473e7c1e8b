package import LigerRuntime
package import Tile

/// Sums and copies, element by element; arithmetic in fp32, one rounding.
package enum Elementwise {
    /// a + b.
    ///
    /// - Parameter dtype: that of the result; a's by default.
    package static func add(_ a: NDArray, _ b: NDArray, dtype: DType? = nil) throws -> NDArray {
        try expectLike(a, b)
        let sum = try NDArray(empty: a.shape, dtype: dtype ?? a.dtype, device: a.device)
        let kernel = AddKernel(a: a.dtype, b: b.dtype, sum: sum.dtype)
        try kernel.launch(
            programs: programs(of: sum), ["a": a.flattened, "b": b.flattened, "sum": sum.flattened])
        return sum
    }

    /// Adds `term` to `sum`, which is overwritten.
    package static func accumulate(_ term: NDArray, into sum: NDArray) throws {
        try expectLike(term, sum)
        let kernel = AccumulateKernel(term: term.dtype, sum: sum.dtype)
        try kernel.launch(programs: programs(of: sum), ["term": term.flattened, "sum": sum.flattened])
    }

    /// Writes x over y, row by row; both [rows, columns] with any strides.
    package static func copyRows(_ x: NDArray, into y: NDArray) throws {
        let kernel = CopyRowsKernel(columns: x.shape[1], x: x.dtype, y: y.dtype)
        try kernel.launch(programs: x.shape[0], ["x": x, "y": y])
    }

    /// Writes one number over every element of x.
    package static func fill(_ x: NDArray, _ value: Float) throws {
        try FillKernel(x: x.dtype).launch(
            programs: programs(of: x), ["x": x.flattened], scalars: ["value": .float(value)])
    }

    /// How many programs of a kernel over flat arrays cover x.
    static func programs(of x: NDArray) -> Int {
        (x.count + elementsPerProgram - 1) / elementsPerProgram
    }

    private static func expectLike(_ a: NDArray, _ b: NDArray) throws {
        if a.shape != b.shape {
            throw RuntimeError("shapes \(a.shape) and \(b.shape) cannot be added. Make them equal")
        }
    }
}
