import LigerKernels
import LigerRuntime
import Tile

/// The token where it counts, else the ignored label; one program a token.
struct MaskedLabels: TileKernel {
    static let ignoreIndex = -100

    let tokens: DType
    let mask: DType

    func body(_ p: Program) {
        let tokens = p.input("tokens", tokens, rank: 1, as: Int.self)
        let mask = p.input("mask", mask, rank: 1, as: Int.self)
        let labels = p.output("labels", .i32, rank: 1, as: Int.self)
        labels[p.index] = select(mask[p.index] != 0, tokens[p.index], Self.ignoreIndex)
    }

    /// Labels of tokens, [B, T].
    ///
    /// - Parameters:
    ///   - tokens: [B, T], i32 or i64.
    ///   - mask: [B, T], u8, i32 or i64: 0 for tokens that do not count; nil counts all.
    static func apply(_ tokens: NDArray, mask: NDArray?) throws -> NDArray {
        let shape = tokens.shape
        guard shape.count == 2, shape[0] > 0, shape[1] > 0, tokens.isContiguous,
            tokens.dtype == .i64 || tokens.dtype == .i32
        else {
            throw RuntimeError(
                "tokens must be [B, T] of i64 or i32, contiguous; found \(tokens.dtype.rawValue) of shape "
                    + "\(shape)")
        }
        guard let mask else { return tokens }
        try mask.expect("the mask", shape: shape)
        guard mask.isContiguous, [.u8, .i32, .i64].contains(mask.dtype) else {
            throw RuntimeError(
                "the mask holds \(mask.dtype.rawValue) with strides \(mask.strides). Give it contiguous u8, i32 "
                    + "or i64")
        }
        let labels = try NDArray(empty: shape, dtype: .i32, device: tokens.device)
        try MaskedLabels(tokens: tokens.dtype, mask: mask.dtype).launch(
            programs: tokens.count,
            ["tokens": tokens.flattened, "mask": mask.flattened, "labels": labels.flattened])
        return labels
    }
}

/// 1 where a label counts, 0 where it is the ignored one; one program a token.
struct CountedLabels: TileKernel {
    let labels: DType

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let counts = p.output("counts", .i32, rank: 1, as: Int.self)
        let label = labels[p.index]
        counts[p.index] = select(label == MaskedLabels.ignoreIndex, 0, label * 0 + 1)
    }

    /// i32 of the labels' shape.
    ///
    /// - Parameter labels: i32 or i64, contiguous.
    static func apply(_ labels: NDArray) throws -> NDArray {
        let counts = try NDArray(empty: labels.shape, dtype: .i32, device: labels.device)
        try CountedLabels(labels: labels.dtype).launch(
            programs: labels.count, ["labels": labels.flattened, "counts": counts.flattened])
        return counts
    }
}
