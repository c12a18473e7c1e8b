public import LigerRuntime
import Tile

/// What the coefficients of manifold-constrained hyper-connections (Xie et al., 2025) are made from: a token's streams,
/// as one row x of K numbers, normalised and projected:
///
///     mix = (x phi) r,  r = 1 / sqrt(mean(x^2) + eps)
///
/// Products and sums are in fp32 and so is mix, whatever the storage. Saved for the backward pass: x, mix and r.
/// Bytes moved in addition to those of the products: x read once, mix written; backward x read, dx written, and an fp32 product
/// of dx's size written and read, a part of the rows at a time.
public enum HyperConnectionProjection {
    /// What `forward` gives.
    public struct Result: Sendable {
        /// [N, M], f32.
        public let mix: NDArray
        /// [N], f32: r.
        public let rstd: NDArray
    }

    /// Gradients of a scalar; nil where not needed.
    public struct Gradients: Sendable {
        /// Like x and phi.
        public let dx, dphi: NDArray?
    }

    /// - Parameters:
    ///   - x: [N, K], f32, bf16 or f16, contiguous.
    ///   - phi: [K, M], any of these types.
    ///   - eps: added to the mean square.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func forward(_ x: NDArray, phi: NDArray, eps: Float) throws -> Result {
        try check(x, phi)
        let (rows, columns) = (x.shape[0], phi.shape[1])
        let mix = try NDArray(empty: [rows, columns], device: x.device)
        let rstd = try NDArray(empty: [rows], device: x.device)
        if x.dtype == phi.dtype {
            _ = try MatMul.apply(x, phi, into: mix)
        } else {
            let wide = try Cast.apply(phi, to: .f32)
            try forEachPart(of: x) { part, place in
                _ = try MatMul.apply(part, wide, into: mix.sliced(0, place))
            }
        }
        try ProjectionNorm(columns: x.shape[1], outputs: columns, dtype: x.dtype)
            .launch(programs: rows, ["x": x, "z": mix, "rstd": rstd], scalars: ["eps": .float(eps)])
        return Result(mix: mix, rstd: rstd)
    }

    /// Gradients of a scalar, given its gradient with respect to mix:
    ///
    ///     dz = dmix r    dx = dz phi^T - x r^2 sum(dmix mix) / K    dphi = x^T dz
    ///
    /// - Parameters:
    ///   - dmix: [N, M], f32.
    ///   - x: as for `forward`.
    ///   - phi: as for `forward`.
    ///   - mix: as `forward` returned it.
    ///   - rstd: as `forward` returned it.
    ///   - needsX: false where x is frozen, as `needsPhi` is for phi.
    ///   - needsPhi: false for a frozen projection; its gradient is not computed then.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out.
    public static func backward(
        dmix: NDArray, x: NDArray, phi: NDArray, mix: NDArray, rstd: NDArray, needsX: Bool = true,
        needsPhi: Bool = true
    ) throws -> Gradients {
        try check(x, phi)
        let (rows, columns, outputs) = (x.shape[0], x.shape[1], phi.shape[1])
        for (name, array) in [("dmix", dmix), ("mix", mix)] {
            try array.expectF32(name, shape: [rows, outputs])
        }
        try rstd.expectF32("rstd", shape: [rows])
        let dz = try NDArray(empty: [rows, outputs], device: x.device)
        let slope = try NDArray(empty: [rows], device: x.device)
        try ProjectionSlope(outputs: outputs, columns: columns).launch(
            programs: rows, ["dmix": dmix, "mix": mix, "rstd": rstd, "dz": dz, "slope": slope])
        let dx = needsX ? try NDArray(empty: x.shape, dtype: x.dtype, device: x.device) : nil
        let dphi = needsPhi ? try NDArray.zeros(phi.shape, device: x.device) : nil
        let wide = needsX ? try Cast.apply(phi, to: .f32) : phi
        try forEachPart(of: x) { part, place in
            let dz = dz.sliced(0, place)
            if let dphi { _ = try MatMul.apply(part, dz, transposeA: true, into: dphi, accumulate: true) }
            guard let dx else { return }
            try ProjectionGradient(columns: columns, dtype: x.dtype).launch(
                programs: place.count,
                [
                    "dz phi^T": try MatMul.apply(dz, wide, transposeB: true), "x": x.sliced(0, place),
                    "slope": slope.sliced(0, place), "dx": dx.sliced(0, place),
                ])
        }
        return Gradients(dx: dx, dphi: try dphi.map { try Cast.apply($0, to: phi.dtype) })
    }

    private static func check(_ x: NDArray, _ phi: NDArray) throws {
        guard x.shape.count == 2, x.shape[1] > 0, phi.shape.count == 2, phi.shape[1] > 0 else {
            throw RuntimeError(
                "x has shape \(x.shape) and phi \(phi.shape). Give them [tokens, K] and [K, outputs]")
        }
        try x.expectFloats("x", shape: x.shape)
        try phi.expectFloats("phi", shape: [x.shape[1], phi.shape[1]])
    }

    /// Rows of x in fp32, as many at a time as take 64 MB, and where they are.
    private static func forEachPart(of x: NDArray, _ body: (NDArray, Range<Int>) throws -> Void) throws {
        let most = max(1, (16 << 20) / x.shape[1])
        for start in stride(from: 0, to: x.shape[0], by: most) {
            let place = start..<min(start + most, x.shape[0])
            try body(Cast.apply(x.sliced(0, place), to: .f32), place)
        }
    }
}

/// r = 1 / sqrt(mean(x^2) + eps), and z, the product x phi, times r; one program a row.
struct ProjectionNorm: TileKernel {
    let columns: Int
    let outputs: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), z = p.update("z", .f32, rank: 2)
        let rstd = p.output("rstd", .f32, rank: 1), eps = p.scalar("eps")
        let row = p.index, c = p.range(columns), m = p.range(outputs)

        let v = x[row, c], r = rsqrt(mean(v * v) + eps)
        rstd[row] = r
        z[row, m] = z[row, m] * r
    }
}

/// dz = dmix r and what multiplies x in dx, -r^2 sum(dmix mix) / K; one program a row.
struct ProjectionSlope: TileKernel {
    let outputs: Int
    /// K.
    let columns: Int

    func body(_ p: Program) {
        let dmix = p.input("dmix", .f32, rank: 2), mix = p.input("mix", .f32, rank: 2)
        let rstd = p.input("rstd", .f32, rank: 1)
        let dz = p.output("dz", .f32, rank: 2), slope = p.output("slope", .f32, rank: 1)
        let row = p.index, m = p.range(outputs)

        let g = dmix[row, m], r = rstd[row]
        dz[row, m] = g * r
        slope[row] = sum(g * mix[row, m]) * (r * r) / Float(-columns)
    }
}

/// dx = dz phi^T + x slope; one program a row.
struct ProjectionGradient: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let product = p.input("dz phi^T", .f32, rank: 2), x = p.input("x", dtype, rank: 2)
        let slope = p.input("slope", .f32, rank: 1), dx = p.output("dx", dtype, rank: 2)
        let row = p.index, c = p.range(columns)
        dx[row, c] = product[row, c] + x[row, c] * slope[row]
    }
}
