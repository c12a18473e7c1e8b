public import LigerRuntime
import Tile

/// The coefficients of manifold-constrained hyper-connections (Xie et al., 2025) of a token with n streams, from its
/// mix, M = n^2 + 2 n numbers in three groups, and a bias b:
///
///     pre  = sigmoid(mix alpha_pre + b) + pre_eps            n: what each stream gives to the layer
///     post = post_multiplier sigmoid(mix alpha_post + b)     n: what each stream takes from it
///     res  = sinkhorn(mix alpha_res + b)                     n x n: how streams mix, rows and columns of sum 1
///
/// Sinkhorn and Knopp's balance starts from A = softmax of rows + eps, divided by its columns' sums + eps, and divides by
/// rows' sums + eps and then by columns' sums + eps, `turns` - 1 times. Lanes are tokens, so that the matrix is n^2
/// registers of each and no sum crosses lanes. Arithmetic is in fp32.
///
/// Saved for the backward pass: mix. The balance's steps are computed again, 4 turns n^2 bytes a token that live for the
/// backward call alone.
public enum HyperConnectionCoefficients {
    /// What the formulas have in addition to arrays.
    public struct Options: Sendable, Hashable {
        /// n.
        public var streams: Int
        /// Of the balance, at least 1.
        public var turns: Int
        /// Added to the coefficients before the layer, added in the balance, and the factor of those after the layer.
        public var preEps, sinkhornEps, postMultiplier: Float

        /// Options; `turns` is at least 1.
        public init(
            streams: Int, turns: Int = 20, preEps: Float = 0, sinkhornEps: Float = 1e-6,
            postMultiplier: Float = 2
        ) {
            self.streams = streams
            self.turns = turns
            self.preEps = preEps
            self.sinkhornEps = sinkhornEps
            self.postMultiplier = postMultiplier
        }

        /// M.
        var columns: Int { streams * (streams + 2) }
    }

    /// What logits are made from: b is [M] and each alpha [1], f32, bf16 or f16.
    public struct Parameters: Sendable {
        /// b, and the alphas of the logits before the layer, after it, and of the residual's matrix.
        public let bias, pre, post, res: NDArray

        /// Parameters; shapes are checked when they are used.
        public init(bias: NDArray, pre: NDArray, post: NDArray, res: NDArray) {
            self.bias = bias
            self.pre = pre
            self.post = post
            self.res = res
        }

        var all: [NDArray] { [bias, pre, post, res] }
        var types: [DType] { all.map(\.dtype) }
    }

    /// What `forward` gives, f32.
    public struct Result: Sendable {
        /// [N, n].
        public let pre, post: NDArray
        /// [N, n, n].
        public let res: NDArray
        /// [turns, n, n, N]: res after each turn; nil where it was not asked for.
        public let history: NDArray?
    }

    /// Gradients of a scalar.
    public struct Gradients: Sendable {
        /// [N, M], f32.
        public let dmix: NDArray
        /// [N, n, n], f32: of what res is balanced from.
        public let dlogits: NDArray
        /// Like the parameters.
        public let dbias, dpre, dpost, dres: NDArray
    }

    /// - Parameters:
    ///   - mix: [N, M], f32, contiguous.
    ///   - parameters: bias and factors of the logits.
    ///   - options: the number of streams, of turns, and constants.
    ///   - keepsHistory: whether res is wanted after each turn.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out.
    public static func forward(
        _ mix: NDArray, _ parameters: Parameters, _ options: Options, keepsHistory: Bool = false
    ) throws -> Result {
        try check(mix, parameters, options)
        let (tokens, n, device) = (mix.shape[0], options.streams, mix.device)
        let result = Result(
            pre: try NDArray(empty: [tokens, n], device: device),
            post: try NDArray(empty: [tokens, n], device: device),
            res: try NDArray(empty: [tokens, n, n], device: device),
            history: keepsHistory
                ? try NDArray(empty: [options.turns, n, n, tokens], device: device) : nil)
        let kernel = CoefficientsForward(
            streams: n, parameters: parameters.types, keepsHistory: keepsHistory)
        try kernel.launch(
            programs: programs(tokens),
            [
                "mix": mix, "bias": parameters.bias, "alpha pre": parameters.pre,
                "alpha post": parameters.post, "alpha res": parameters.res,
                "pre": result.pre, "post": result.post, "res": result.res.reshaped([tokens, n * n]),
                "history": result.history?.reshaped([options.turns, n * n, tokens]),
            ],
            scalars: [
                "turns": .index(options.turns), "pre eps": .float(options.preEps),
                "sinkhorn eps": .float(options.sinkhornEps),
                "post multiplier": .float(options.postMultiplier),
            ])
        return result
    }

    /// Gradients of a scalar, given those with respect to what `forward` gave. One division by sums, B = A / (s + eps),
    /// has dA = (dB - sum(dB B)) / (s + eps) over each of its rows or columns.
    ///
    /// - Parameters:
    ///   - dpre: [N, n], f32.
    ///   - dpost: [N, n], f32.
    ///   - dres: [N, n, n], f32.
    ///   - mix: as for `forward`.
    ///   - parameters: as for `forward`.
    ///   - options: as for `forward`.
    ///   - history: as `forward` gave it; nil computes it again.
    /// - Returns: the gradients; those of parameters summed in an order fixed by the number of tokens.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out.
    public static func backward(
        dpre: NDArray, dpost: NDArray, dres: NDArray, mix: NDArray, _ parameters: Parameters,
        _ options: Options, history: NDArray? = nil
    ) throws -> Gradients {
        try check(mix, parameters, options)
        let (tokens, n, device) = (mix.shape[0], options.streams, mix.device)
        for (name, array, shape) in [
            ("dpre", dpre, [tokens, n]), ("dpost", dpost, [tokens, n]), ("dres", dres, [tokens, n, n]),
        ] {
            try array.expectF32(name, shape: shape)
        }
        try history?.expectF32("history", shape: [options.turns, n, n, tokens])
        let steps = try history ?? forward(mix, parameters, options, keepsHistory: true).history
        let dlogits = try NDArray(empty: dres.shape, device: device)
        try CoefficientsBackward(streams: n, parameters: parameters.types).launch(
            programs: programs(tokens),
            [
                "mix": mix, "bias": parameters.bias, "alpha pre": parameters.pre,
                "alpha post": parameters.post, "alpha res": parameters.res,
                "history": steps?.reshaped([options.turns, n * n, tokens]),
                "dres": dres.reshaped([tokens, n * n]), "dlogits": dlogits.reshaped([tokens, n * n]),
            ],
            scalars: ["sinkhorn eps": .float(options.sinkhornEps)])
        let split = RowSplit(rows: tokens, columns: options.columns, on: device)
        let dmix = try NDArray(empty: mix.shape, device: device)
        let biases = try NDArray(empty: [split.programs, options.columns], device: device)
        let products = try NDArray(empty: [split.programs, options.columns], device: device)
        try MixGradient(streams: n, parameters: parameters.types).launch(
            programs: split.programs,
            [
                "mix": mix, "bias": parameters.bias, "alpha pre": parameters.pre,
                "alpha post": parameters.post, "alpha res": parameters.res,
                "dpre": dpre, "dpost": dpost, "dlogits": dlogits.reshaped([tokens, n * n]),
                "dmix": dmix, "biases": biases, "products": products,
            ],
            scalars: [
                "post multiplier": .float(options.postMultiplier),
                "tokens per program": .index(split.rowsPerProgram),
            ])
        let alphas = parameters.types.dropFirst()
        let dalphas = try alphas.map { try NDArray(empty: [1], dtype: $0, device: device) }
        try CoefficientScales(streams: n, types: Array(alphas)).launch(
            programs: 1,
            [
                "products": try ColumnSum.apply(products, dtype: .f32), "dalpha pre": dalphas[0],
                "dalpha post": dalphas[1], "dalpha res": dalphas[2],
            ])
        return Gradients(
            dmix: dmix, dlogits: dlogits, dbias: try ColumnSum.apply(biases, dtype: parameters.bias.dtype),
            dpre: dalphas[0], dpost: dalphas[1], dres: dalphas[2])
    }

    private static func programs(_ tokens: Int) -> Int {
        (tokens + TokenMatrix.block - 1) / TokenMatrix.block
    }

    private static func check(_ mix: NDArray, _ parameters: Parameters, _ options: Options) throws {
        guard options.streams > 0, options.turns > 0 else {
            throw RuntimeError(
                "hyper-connections of \(options.streams) streams in \(options.turns) turns. Give at least 1 of each"
            )
        }
        let tokens = mix.shape.first ?? 0
        try mix.expectF32("mix", shape: [tokens, options.columns])
        try parameters.bias.expectFloats("bias", shape: [options.columns])
        for (name, alpha) in [
            ("alpha_pre", parameters.pre), ("alpha_post", parameters.post), ("alpha_res", parameters.res),
        ] {
            try alpha.expectFloats(name, shape: [1])
        }
    }
}
