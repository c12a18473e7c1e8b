public import LigerRuntime
import Tile

/// Sparsemax over the last dimension (Martins and Astudillo, 2016): the nearest point to x among distributions, which
/// is 0 wherever x is well below its maximum:
///
///     y = max(v - tau, 0), v = x - max(x), with tau such that sum(y) = 1
///
/// tau is a root of a piecewise linear function of tau, found by Newton's steps from below: no sort. The maximum is
/// subtracted first, so that a common offset changes nothing. Rows in which every element is -∞ are 0, as is their
/// gradient; rows with +∞ or NaN are NaN, as those of softmax. Arithmetic is in fp32. Saved for the backward pass: y.
///
/// Row lengths are bound at launch: one compiled kernel serves all lengths up to its power of two.
/// Bytes moved: x read and y written once; backward y and dy read and dx written once. A Newton step reads a row that
/// does not fit into registers again, from nearer memory where it fits there.
public enum Sparsemax {
    /// - Parameter x: [..., n], f32, bf16 or f16, contiguous.
    /// - Returns: y, like x.
    /// - Throws: `RuntimeError` if x does not fit or memory runs out.
    public static func forward(_ x: NDArray) throws -> NDArray {
        let rows = try x.asRows("x")
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try SparsemaxForward(capacity: capacity(for: rows.shape[1], atLeast: 16), dtype: x.dtype)
            .launch(programs: rows.shape[0], ["x": rows, "y": y.rows])
        return y
    }

    /// The gradient of a scalar with respect to x, given its gradient with respect to y.
    ///
    ///     dx = dy - mean of dy where y > 0, there; 0 elsewhere
    ///
    /// - Parameters:
    ///   - dy: like y.
    ///   - y: as `forward` returned it.
    /// - Returns: dx, like y.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(dy: NDArray, y: NDArray) throws -> NDArray {
        let rows = try y.asRows("y")
        try dy.expect("dy", shape: y.shape, dtype: y.dtype)
        let dx = try NDArray(empty: y.shape, dtype: y.dtype, device: y.device)
        try SparsemaxBackward(capacity: capacity(for: rows.shape[1], atLeast: 16), dtype: y.dtype)
            .launch(programs: rows.shape[0], ["y": rows, "dy": try dy.asRows("dy"), "dx": dx.rows])
        return dx
    }
}

/// y = max(x - max(x) - tau, 0); one program a row.
struct SparsemaxForward: TileKernel {
    /// The longest row.
    let capacity: Int
    let dtype: DType

    /// What is left of sum(y) - 1 falls by 4 with every step, as the slope does by what it does not: after these, 2^36,
    /// the most for a row of 2^18, is below fp32's precision. Most rows take 3 to 6.
    private static let mostSteps = 32

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(capacity: capacity, limit: x.size(1))

        let m = max(x[row, c])
        let v = x[row, c] - select(m == -.infinity, 0, m)
        /// The root of the line that sum(y) - 1 is around tau. NaN in a row makes it NaN.
        func step(_ tau: Tile<Float>) -> Tile<Float> {
            let isOut = v <= tau
            let next = (sum(select(isOut, 0, v)) - 1) / sum(select(isOut, 0, p.full(c, 1)))
            return select(next <= tau, tau, next)
        }
        // The maximum alone sums to 1 at -1, so the root is not below. Steps from there do not pass it.
        let none = row * 0, least = none.float - 1
        let (tau, _) = p.loop(
            from: none, to: none + Self.mostSteps, carrying: least, least - 1
        ) { _, tau, before in
            (p.choose(tau == before, then: { tau }, otherwise: { step(tau) }), tau)
        }
        y[row, c] = select(v <= tau, 0, v - tau)
    }
}

/// dx = dy - mean(dy where y > 0) there, and 0 elsewhere; one program a row.
struct SparsemaxBackward: TileKernel {
    let capacity: Int
    let dtype: DType

    func body(_ p: Program) {
        let y = p.input("y", dtype, rank: 2), dy = p.input("dy", dtype, rank: 2)
        let dx = p.output("dx", dtype, rank: 2)
        let row = p.index, c = p.range(capacity: capacity, limit: y.size(1))

        let g = dy[row, c], isIn = y[row, c] > 0
        let count = sum(select(isIn, p.full(c, 1), 0))
        dx[row, c] = select(isIn, g - sum(select(isIn, g, 0)) / maximum(count, 1), 0)
    }
}

extension Sparsemax {
    /// The formulas in Double for one row, tau by sorting: what the kernels are checked against.
    package enum Reference {
        package static func forward(_ x: [Double]) -> [Double] {
            let sorted = x.sorted(by: >), largest = sorted[0]
            var (sum, tau) = (0.0, -1.0)
            for (i, value) in sorted.enumerated() {
                sum += value - largest
                let next = (sum - 1) / Double(i + 1)
                if value - largest <= next { break }
                tau = next
            }
            return x.map { max($0 - largest - tau, 0) }
        }

        package static func backward(dy: [Double], y: [Double]) -> [Double] {
            let inside = zip(dy, y).filter { $1 > 0 }.map(\.0)
            let mean = inside.reduce(0, +) / Double(inside.count)
            return zip(dy, y).map { $1 > 0 ? $0 - mean : 0 }
        }
    }
}
