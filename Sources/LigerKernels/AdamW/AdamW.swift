public import LigerRuntime
import Tile

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), with PyTorch's formula and defaults. At step
/// t, from 1, with gradient g:
///
///     w = w (1 - lr λ)       m = m + (1 - β1) (g - m)       v = β2 v + (1 - β2) g^2
///     w = w - lr / (1 - β1^t)  m / (sqrt(v) / sqrt(1 - β2^t) + eps)
///
/// in fp32 whatever the storage. 16-bit parameters need an fp32 master copy to learn from updates smaller than
/// their rounding: then w is the master, and the parameter is w rounded once. Bytes moved: everything but
/// the gradient read and written once, the gradient read once.
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

    /// A parameter, its gradient and its state; all contiguous and of one size.
    public struct Slot: Sendable {
        /// f32, bf16 or f16.
        public var parameter: NDArray
        /// Any of these types.
        public var gradient: NDArray
        /// The mean of gradients; zeros before the first step. f32 as a rule.
        public var m: NDArray
        /// The mean of their squares, likewise.
        public var v: NDArray
        /// The parameter in fp32; nil where the parameter itself is the only copy.
        public var master: NDArray?
        /// False for parameters that should not shrink, such as those of norms.
        public var weightDecay: Bool

        /// A parameter with what belongs to it; `step` checks that they fit.
        public init(
            parameter: NDArray, gradient: NDArray, m: NDArray, v: NDArray, master: NDArray? = nil,
            weightDecay: Bool = true
        ) {
            self.parameter = parameter
            self.gradient = gradient
            self.m = m
            self.v = v
            self.master = master
            self.weightDecay = weightDecay
        }

        /// - Throws: `RuntimeError` naming the array that does not fit.
        fileprivate func check() throws {
            let arrays = [("gradient", gradient), ("m", m), ("v", v), ("master", master)]
            for (name, array) in [("parameter", parameter)] + arrays {
                try array?.expectFloats(name, shape: parameter.shape)
            }
            try master?.expect("master", shape: parameter.shape, dtype: .f32)
        }
    }

    /// Updates parameters, their moments and masters in place.
    ///
    /// - Parameters:
    ///   - tensors: each parameter with its gradient, moments and master.
    ///   - options: rates and decays, the same for all parameters.
    ///   - step: t, from 1.
    /// - Throws: `RuntimeError` if arrays or options do not fit; nothing is changed then.
    public static func step(_ tensors: [Slot], _ options: Options = Options(), step: Int) throws {
        guard step >= 1 else { throw RuntimeError("AdamW's steps count from 1; found \(step)") }
        guard (0..<1).contains(options.beta1), (0..<1).contains(options.beta2), options.eps >= 0,
            options.lr.isFinite, options.weightDecay.isFinite
        else {
            throw RuntimeError("AdamW needs betas from 0 to below 1 and finite numbers; found \(options)")
        }
        for tensor in tensors { try tensor.check() }
        let corrections = (1 - power(options.beta1, step), 1 - power(options.beta2, step))
        for tensor in tensors {
            let decay = tensor.weightDecay ? 1 - options.lr * options.weightDecay : 1
            let kernel = AdamWStep(
                parameter: tensor.parameter.dtype, gradient: tensor.gradient.dtype, m: tensor.m.dtype,
                v: tensor.v.dtype, hasMaster: tensor.master != nil)
            try kernel.launch(
                programs: (tensor.parameter.count + AdamWStep.block - 1) / AdamWStep.block,
                [
                    "parameter": tensor.parameter.flattened, "gradient": tensor.gradient.flattened,
                    "m": tensor.m.flattened, "v": tensor.v.flattened, "master": tensor.master?.flattened,
                ],
                scalars: [
                    "decay": .float(Float(decay)), "1 - beta1": .float(Float(1 - options.beta1)),
                    "beta2": .float(Float(options.beta2)), "1 - beta2": .float(Float(1 - options.beta2)),
                    "step size": .float(Float(options.lr / corrections.0)),
                    "root of correction": .float(Float(corrections.1.squareRoot())),
                    "eps": .float(Float(options.eps)),
                ])
        }
    }

    /// base^exponent by squaring.
    private static func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, square, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}
