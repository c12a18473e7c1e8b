public import LigerRuntime
import Tile

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), with PyTorch's formula and defaults. At step
/// t, from 1, with gradient g:
///
///     w = w (1 - lr λ)       m = m + (1 - β1) (g - m)       v = β2 v + (1 - β2) g^2
///     w = w - lr / (1 - β1^t)  m / (sqrt(v) / sqrt(1 - β2^t) + eps)
///
/// in fp32 whatever the storage. 16-bit parameters need an fp32 master copy to learn from updates smaller than
/// their rounding: then w is the master, and the parameter is w rounded once. Or bf16 parameters are rounded at random,
/// up with the share of their last bit that w is above, so that small updates arrive on average. Bytes moved: everything
/// but the gradient read and written once, the gradient read once.
///
/// m and v may be codes of 8 bits, with the largest magnitude of each `block` of elements as a scale. A code is the exponent
/// and the first three bits of the fraction of a float between 0 and 1: 4 bits of exponent and a sign for m, 5 bits of
/// exponent for v. From the scale down to 8/15 2^-14 of it (v: 2^-30), neighbouring codes differ by an eighth at most; below,
/// in steps of an eighth of that. They are rounded at random, without which v would
/// stand still: it changes by 1 - β2, a thousandth, while its codes are up to an eighth apart. So their means are those of m
/// and v, except that a v above 0 stays above 0.
///
/// Random words are those of Philox4x32-10 for the seed and an element's place, tensor and step: no state, and the same
/// after a resumption.
public enum AdamW {
    /// What a training run fixes, but for the learning rate's schedule.
    public struct Options: Sendable, Hashable {
        /// The learning rate of this step.
        public var lr: Double
        /// β1, the decay of the mean of gradients, from 0 to below 1.
        public var beta1: Double
        /// β2, the decay of the mean of their squares, from 0 to below 1.
        public var beta2: Double
        /// Added to the root of the mean square, at least 0.
        public var eps: Double
        /// λ, the share of a parameter, times the learning rate, that a step takes off it.
        public var weightDecay: Double

        /// Options; those of PyTorch where none is given.
        public init(
            lr: Double = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8,
            weightDecay: Double = 0.01
        ) {
            self.lr = lr
            self.beta1 = beta1
            self.beta2 = beta2
            self.eps = eps
            self.weightDecay = weightDecay
        }
    }

    /// How parameters of 16 bits are rounded.
    public enum Rounding: Sendable, Hashable {
        /// To the nearest number: an update below half of the last bit is lost.
        case toNearest
        /// At random, up or down; bf16 only.
        case stochastic
    }

    /// Elements of a scale of 8-bit states.
    public static let block = 256

    /// A parameter, its gradient and its state; all contiguous and of one size.
    public struct Slot: Sendable {
        /// f32, bf16 or f16.
        public var parameter: NDArray
        /// Any of these types.
        public var gradient: NDArray
        /// The mean of gradients; zeros before the first step. f32 as a rule; u8 with scales.
        public var m: NDArray
        /// The mean of their squares, likewise.
        public var v: NDArray
        /// The scales of 8-bit m and v, f32, one for each `block` of elements; nil for others.
        public var scales: (m: NDArray, v: NDArray)?
        /// The parameter in fp32; nil where the parameter itself is the only copy.
        public var master: NDArray?
        /// False for parameters that should not shrink, such as those of norms.
        public var weightDecay: Bool
        /// Tells the tensors of one seed apart in random words.
        public var number: Int
        /// Where these are a part of a tensor that is updated in several: the elements before them, a multiple of 4,096.
        package var offset = 0
        /// Elements of the tensor that these are a part of; nil where they are all of it.
        package var whole: Int?

        /// A parameter with what belongs to it; `step` checks that they fit.
        public init(
            parameter: NDArray, gradient: NDArray, m: NDArray, v: NDArray,
            scales: (m: NDArray, v: NDArray)? = nil, master: NDArray? = nil, weightDecay: Bool = true,
            number: Int = 0
        ) {
            self.parameter = parameter
            self.gradient = gradient
            self.m = m
            self.v = v
            self.scales = scales
            self.master = master
            self.weightDecay = weightDecay
            self.number = number
        }
    }

    /// Updates parameters, their moments and masters in place.
    ///
    /// - Parameters:
    ///   - tensors: each parameter with its gradient, moments and master.
    ///   - options: rates and decays, the same for all parameters.
    ///   - step: t, from 1.
    ///   - rounding: of 16-bit parameters without a master; others are rounded to nearest.
    ///   - seed: of all random words.
    ///   - factor: one f32 that gradients are multiplied by; nil for 1.
    /// - Throws: `RuntimeError` if arrays or options do not fit; nothing is changed then.
    public static func step(
        _ tensors: [Slot], _ options: Options = Options(), step: Int, rounding: Rounding = .toNearest,
        seed: UInt64 = 0, factor: NDArray? = nil
    ) throws {
        try options.check(step: step)
        for tensor in tensors { try tensor.check(rounding) }
        try factor?.expect("the factor of gradients", shape: [1], dtype: .f32)
        for tensor in tensors where tensor.parameter.count > 0 {
            let kernel = AdamWStep(tensor, rounding, scalesGradient: factor != nil)
            var scalars = options.numbers(step: step, decays: tensor.weightDecay)
            if kernel.needsWords {
                scalars += [
                    ("seed", .uint32(UInt32(truncatingIfNeeded: seed))),
                    ("upper seed", .uint32(UInt32(truncatingIfNeeded: seed >> 32))),
                    ("step", .uint32(UInt32(truncatingIfNeeded: step))),
                    ("tensor", .uint32(UInt32(truncatingIfNeeded: tensor.number))),
                    ("offset", .index(tensor.offset)),
                ]
            }
            try kernel.launch(
                programs: kernel.programs(tensor.parameter.count),
                LaunchArrays(tensor.arrays + [("factor", factor)]), scalars: LaunchScalars(scalars))
        }
    }

    /// As `step`, of one tensor or of several that lie in one array, with what changes from step to step in arrays.
    ///
    /// - Parameters:
    ///   - tensor: the parameter, or several in one array, with gradient, moments and master.
    ///   - numbers: [7], f32: 1 - lr λ, 1 - β1, β2, 1 - β2, lr / (1 - β1^t), sqrt(1 - β2^t), eps.
    ///   - counters: [3], i32: the seed's lower and upper half, and t.
    ///   - tensors: [n, 2], i64: the number of a tensor and how far its places are from its elements' positions in the
    ///     array; a row for each `block` of elements, or one for all.
    ///   - rounding: of 16-bit parameters without a master; others are rounded to nearest.
    ///   - factor: one f32 that gradients are multiplied by; nil for 1.
    /// - Throws: `RuntimeError` if arrays do not fit.
    public static func step(
        _ tensor: Slot, numbers: NDArray, counters: NDArray?, tensors: NDArray?, rounding: Rounding,
        factor: NDArray?
    ) throws {
        try tensor.check(rounding)
        try numbers.expect("numbers", shape: [7], dtype: .f32)
        try factor?.expect("factor", shape: [1], dtype: .f32)
        let kernel = AdamWStep(
            tensor, rounding, scalesGradient: factor != nil, readsNumbers: true,
            isBundle: (tensors?.shape.first ?? 1) > 1)
        let programs = kernel.programs(tensor.parameter.count)
        if kernel.needsWords {
            guard let counters, let tensors else {
                throw RuntimeError("AdamW with random rounding needs counters and tensors")
            }
            try counters.expect("counters", shape: [3], dtype: .i32)
            try tensors.expect("tensors", shape: [kernel.isBundle ? programs : 1, 2], dtype: .i64)
        }
        guard tensor.parameter.count > 0 else { return }
        try kernel.launch(
            programs: programs,
            LaunchArrays(
                tensor.arrays + [
                    ("numbers", numbers), ("factor", factor),
                    ("counters", kernel.needsWords ? counters : nil),
                    ("tensors", kernel.needsWords ? tensors : nil),
                ]))
    }
}
