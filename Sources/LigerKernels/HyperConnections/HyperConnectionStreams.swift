public import LigerRuntime
import Tile

/// The streams of hyper-connections (Zhu et al., 2024; Xie et al., 2025) before and after a layer: with x_i a token's row
/// of stream i and f what the layer gives,
///
///     input = Σ_i pre_i x_i        next_o = Σ_i res_oi x_i + post_o f
///
/// Coefficients are fp32, arithmetic is in fp32 with one rounding. Saved for the backward pass: what went in.
/// Bytes moved: each array read and written once; after the layer the gradient of the next streams is read twice. Of more
/// than 4 streams, and of more than 2 in that gradient, programs share a token, and read its rows again from cache.
public enum HyperConnectionStreams {
    /// Gradients of a scalar, like what they belong to.
    public struct InputGradients: Sendable {
        /// Of the streams, and of the coefficients before the layer.
        public let dx, dpre: NDArray
    }

    /// Gradients of a scalar, like what they belong to.
    public struct NextGradients: Sendable {
        /// Of the streams, of the layer's output, of the coefficients after the layer, and of the residual's matrix.
        public let dx, df, dpost, dres: NDArray
    }

    /// What the layer gets.
    ///
    /// - Parameters:
    ///   - x: [N, n, C], f32, bf16 or f16, contiguous.
    ///   - pre: [N, n], f32.
    /// - Returns: [N, C], of x's type.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func input(_ x: NDArray, pre: NDArray) throws -> NDArray {
        let (tokens, n, columns) = try sizes(x)
        try pre.expectF32("pre", shape: [tokens, n])
        let y = try NDArray(empty: [tokens, columns], dtype: x.dtype, device: x.device)
        try StreamsForward(columns: columns, sources: n, outputs: 1, dtype: x.dtype, f: nil).launch(
            tokens,
            ["x": x, "weights": pre.reshaped([tokens, 1, n]), "y": y.reshaped([tokens, 1, columns])])
        return y
    }

    /// Gradients of a scalar, given its gradient with respect to the layer's input:
    ///
    ///     dx_i = pre_i dy    dpre_i = sum(x_i dy)
    ///
    /// - Parameters:
    ///   - dy: [N, C], of x's type.
    ///   - x: as for `input`.
    ///   - pre: as for `input`.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func inputBackward(dy: NDArray, x: NDArray, pre: NDArray) throws -> InputGradients {
        let (tokens, n, columns) = try sizes(x)
        try pre.expectF32("pre", shape: [tokens, n])
        try dy.expectFloats("dy", shape: [tokens, columns])
        try dy.expect("dy", shape: [tokens, columns], dtype: x.dtype)
        let (dx, dpre) = try gradients(
            dy: dy.reshaped([tokens, 1, columns]), sources: x, weights: pre.reshaped([tokens, 1, n]))
        return InputGradients(dx: dx, dpre: dpre.reshaped([tokens, n]))
    }

    /// The streams after the layer.
    ///
    /// - Parameters:
    ///   - x: [N, n, C], f32, bf16 or f16, contiguous.
    ///   - f: [N, C], any of these types.
    ///   - post: [N, n], f32.
    ///   - res: [N, n, n], f32.
    /// - Returns: like x.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func next(_ x: NDArray, f: NDArray, post: NDArray, res: NDArray) throws -> NDArray {
        let (tokens, n, columns) = try sizes(x)
        try check(x, f, post, res)
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try StreamsForward(columns: columns, sources: n, outputs: n, dtype: x.dtype, f: f.dtype).launch(
            tokens, ["x": x, "weights": res, "f": f, "post": post, "y": y])
        return y
    }

    /// Gradients of a scalar, given its gradient with respect to the next streams:
    ///
    ///     dx_i = Σ_o res_oi dy_o    df = Σ_o post_o dy_o    dpost_o = sum(f dy_o)    dres_oi = sum(x_i dy_o)
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `next`.
    ///   - f: as for `next`.
    ///   - post: as for `next`.
    ///   - res: as for `next`.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func nextBackward(
        dy: NDArray, x: NDArray, f: NDArray, post: NDArray, res: NDArray
    ) throws -> NextGradients {
        let (tokens, n, columns) = try sizes(x)
        try check(x, f, post, res)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        let (dx, dres) = try gradients(dy: dy, sources: x, weights: res)
        let (df, dpost) = try gradients(
            dy: dy, sources: f.reshaped([tokens, 1, columns]), weights: post.reshaped([tokens, n, 1]))
        return NextGradients(
            dx: dx, df: df.reshaped(f.shape), dpost: dpost.reshaped(post.shape), dres: dres)
    }

    /// Gradients of rows [N, sources, C] and weights [N, outputs, sources], given that of the sums [N, outputs, C].
    private static func gradients(
        dy: NDArray, sources: NDArray, weights: NDArray
    ) throws -> (dsources: NDArray, dweights: NDArray) {
        let dsources = try NDArray(empty: sources.shape, dtype: sources.dtype, device: dy.device)
        let dweights = try NDArray(empty: weights.shape, device: dy.device)
        let kernel = StreamsBackward(
            columns: dy.shape[2], sources: sources.shape[1], outputs: dy.shape[1], dtype: dy.dtype,
            source: sources.dtype)
        try kernel.launch(
            dy.shape[0],
            ["dy": dy, "x": sources, "weights": weights, "dx": dsources, "dweights": dweights])
        return (dsources, dweights)
    }

    private static func sizes(_ x: NDArray) throws -> (tokens: Int, streams: Int, columns: Int) {
        guard x.shape.count == 3, x.shape[1] > 0 else {
            throw RuntimeError("x has shape \(x.shape). Give it [tokens, streams, features]")
        }
        return (x.shape[0], x.shape[1], try x.asRows("x").shape[1])
    }

    private static func check(_ x: NDArray, _ f: NDArray, _ post: NDArray, _ res: NDArray) throws {
        let (tokens, n) = (x.shape[0], x.shape[1])
        try f.expectFloats("f", shape: [tokens, x.shape[2]])
        try post.expectF32("post", shape: [tokens, n])
        try res.expectF32("res", shape: [tokens, n, n])
    }
}

/// y_o = Σ_i weight_oi x_i, and + post_o f where there is f; one program some outputs of a token.
struct StreamsForward: TileKernel {
    let columns: Int
    let sources: Int
    let outputs: Int
    let dtype: DType
    let f: DType?

    /// How many outputs a program has: their terms are one phase's code.
    private var share: Int { largestShare(of: outputs, terms: sources, most: 16) }

    func launch(_ tokens: Int, _ arrays: LaunchArrays) throws {
        try launch(programs: tokens * (outputs / share), arrays)
    }

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 3), weights = p.input("weights", .f32, rank: 3)
        let layer = f.map { (p.input("f", $0, rank: 2), p.input("post", .f32, rank: 2)) }
        let y = p.output("y", dtype, rank: 3)
        let token = p.index / (outputs / share), first = p.index % (outputs / share) * share
        let c = p.range(columns)
        for o in 0..<share {
            let o = first + o
            let sum = weighted(sources) { (x[token, $0, c], weights[token, o, $0]) }
            y[token, o, c] = layer.map { f, post in sum + f[token, c] * post[token, o] } ?? sum
        }
    }
}

/// dx_i = Σ_o weight_oi dy_o and dweight_oi = sum(x_i dy_o); one program some sources of a token.
struct StreamsBackward: TileKernel {
    let columns: Int
    let sources: Int
    let outputs: Int
    /// Of dy.
    let dtype: DType
    let source: DType

    /// How many sources a program has: as many times outputs are its sums.
    private var share: Int { largestShare(of: sources, terms: outputs, most: 8) }

    func launch(_ tokens: Int, _ arrays: LaunchArrays) throws {
        try launch(programs: tokens * (sources / share), arrays)
    }

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 3), x = p.input("x", source, rank: 3)
        let weights = p.input("weights", .f32, rank: 3)
        let dx = p.output("dx", source, rank: 3), dweights = p.output("dweights", .f32, rank: 3)
        let token = p.index / (sources / share), first = p.index % (sources / share) * share
        let c = p.range(columns)
        for i in 0..<share {
            let i = first + i
            dx[token, i, c] = weighted(outputs) { (dy[token, $0, c], weights[token, $0, i]) }
            for o in 0..<outputs { dweights[token, o, i] = sum(x[token, i, c] * dy[token, o, c]) }
        }
    }
}

/// The largest part of a count that divides it, and has no more than so many terms where each has some; 1 at least.
private func largestShare(of count: Int, terms: Int, most: Int) -> Int {
    (1...count).last { count % $0 == 0 && $0 * terms <= most } ?? 1
}

/// Σ of rows times numbers, in their order.
private func weighted(
    _ count: Int, _ term: (Int) -> (row: Tile<Float>, number: Tile<Float>)
) -> Tile<Float> {
    let terms = (0..<count).map { i in
        let (row, number) = term(i)
        return row * number
    }
    return terms.dropFirst().reduce(terms[0], +)
}
