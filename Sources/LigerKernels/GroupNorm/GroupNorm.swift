public import LigerRuntime
import Tile

/// Group normalisation (Wu and He, 2018). The C channels of a sample are cut into G contiguous groups; each
/// group, with all its places, is normalised, then each channel has its own scale and shift:
///
///     d = x - mean(x)     r = 1 / sqrt(mean(d^2) + eps)     x̂ = d r     y = x̂ w + b
///
/// Arithmetic is in fp32 with one rounding at the end, and deviations are centred twice, as in `LayerNorm`.
/// Saved for the backward pass: mean and r, an fp32 each per group of a sample.
/// Bytes moved: x read and y written once (and x again from cache); backward x and dy read and dx written once.
public enum GroupNorm {
    /// y, mean and r of x.
    ///
    /// - Parameters:
    ///   - x: [B, C, ...], f32, bf16 or f16, contiguous; rank 2 has one place per channel.
    ///   - weight: [C], any of these types; nil scales by nothing.
    ///   - bias: [C], any of these types; nil adds nothing.
    ///   - groups: G, a divisor of C.
    ///   - eps: added to the variance.
    /// - Returns: y like x; mean and rstd [B, G], f32.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, weight: NDArray?, bias: NDArray?, groups: Int, eps: Float
    ) throws -> (y: NDArray, mean: NDArray, rstd: NDArray) {
        let shape = try GroupShape(x, groups: groups)
        try weight?.expect("weight", shape: [shape.channels])
        try bias?.expect("bias", shape: [shape.channels])
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let mean = try NDArray(empty: [shape.batch, groups], device: x.device)
        let rstd = try NDArray(empty: [shape.batch, groups], device: x.device)
        let kernel = GroupNormForward(
            channels: shape.channelsPerGroup, places: shape.places, dtype: x.dtype, weight: weight?.dtype,
            bias: bias?.dtype)
        try kernel.launch(
            programs: shape.programs,
            [
                "x": shape.whole(x), "x by channel": shape.byChannel(x), "y": shape.byChannel(y),
                "mean": mean.flattened, "rstd": rstd.flattened, "w": weight, "b": bias,
            ],
            scalars: ["groups": .index(groups), "eps": .float(eps)])
        return (y, mean, rstd)
    }

    /// Gradients of a scalar with respect to x, weight and bias, given its gradient with respect to y.
    ///
    ///     m = dy w    dx = r (m - mean(m) - x̂ mean(m x̂))    dw = Σ dy x̂    db = Σ dy, over samples and places
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - weight: as for `forward`.
    ///   - mean: as `forward` returned it.
    ///   - rstd: as `forward` returned it.
    ///   - groups: as for `forward`.
    ///   - needsWeight: false for a frozen weight; then dw is nil, as without a weight.
    ///   - needsBias: false where there is no bias or it is frozen; then db is nil.
    /// - Returns: dx like x; dw and db like the weight (without one, db like x), summed in fp32 in the order of
    ///   samples.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, weight: NDArray?, mean: NDArray, rstd: NDArray, groups: Int,
        needsWeight: Bool = true, needsBias: Bool = true
    ) throws -> (dx: NDArray, dw: NDArray?, db: NDArray?) {
        let shape = try GroupShape(x, groups: groups)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        _ = try dy.asRows("dy")
        try weight?.expect("weight", shape: [shape.channels])
        try mean.expect("mean", shape: [shape.batch, groups], dtype: .f32)
        try rstd.expect("rstd", shape: [shape.batch, groups], dtype: .f32)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let sumsWeight = needsWeight && weight != nil
        let partial = { try NDArray(empty: [shape.batch, shape.channels], device: x.device) }
        let weightSums = sumsWeight ? try partial() : nil
        let biasSums = needsBias ? try partial() : nil
        let kernel = GroupNormBackward(
            channels: shape.channelsPerGroup, places: shape.places, dtype: x.dtype, weight: weight?.dtype,
            sumsWeight: sumsWeight, sumsBias: needsBias)
        try kernel.launch(
            programs: shape.programs,
            [
                "x": shape.whole(x), "x by channel": shape.byChannel(x), "dy": shape.byChannel(dy),
                "dx": shape.byChannel(dx), "mean": mean.flattened, "rstd": rstd.flattened, "w": weight,
                "dw": weightSums, "db": biasSums,
            ],
            scalars: ["groups": .index(groups)])
        let dtype = weight?.dtype ?? x.dtype
        let sums = try ColumnSum.apply([weightSums, biasSums].map { $0.map { ($0, dtype) } })
        return (dx, sums[0], sums[1])
    }
}

/// How an array of samples falls into groups.
private struct GroupShape {
    let batch: Int
    let channels: Int
    let groups: Int
    /// Elements of a channel.
    let places: Int

    init(_ x: NDArray, groups: Int) throws {
        _ = try x.asRows("x")
        guard x.shape.count >= 2, x.count > 0 || x.shape[0] == 0 else {
            throw RuntimeError(
                "x has shape \(x.shape). Give it [batch, channels, ...] with at least one place")
        }
        guard groups > 0, x.shape[1] % groups == 0 else {
            throw RuntimeError(
                "\(x.shape[1]) channels cannot be cut into \(groups) groups. Give a divisor of the channels")
        }
        batch = x.shape[0]
        channels = x.shape[1]
        self.groups = groups
        places = x.shape.dropFirst(2).reduce(1, *)
    }

    var programs: Int { batch * groups }
    var channelsPerGroup: Int { channels / groups }

    func whole(_ x: NDArray) -> NDArray { x.reshaped([programs, channelsPerGroup * places]) }
    func byChannel(_ x: NDArray) -> NDArray { x.reshaped([programs, channelsPerGroup, places]) }
}
