import LigerRuntime
import Tile

extension AdamW.Options {
    /// - Throws: `RuntimeError` if the options or the step are none.
    func check(step: Int) throws {
        guard step >= 1 else { throw RuntimeError("AdamW's steps count from 1; found \(step)") }
        guard (0..<1).contains(beta1), (0..<1).contains(beta2), eps >= 0, lr.isFinite, weightDecay.isFinite
        else { throw RuntimeError("AdamW needs betas from 0 to below 1 and finite numbers; found \(self)") }
    }

    /// The numbers of a step, by the names of the kernel's scalars.
    func numbers(step: Int, decays: Bool) -> [(String, LaunchScalar?)] {
        let corrections = (1 - power(beta1, step), 1 - power(beta2, step))
        let values = [
            ("decay", decays ? 1 - lr * weightDecay : 1), ("1 - beta1", 1 - beta1), ("beta2", beta2),
            ("1 - beta2", 1 - beta2), ("step size", lr / corrections.0),
            ("root of correction", corrections.1.squareRoot()), ("eps", eps),
        ]
        return values.map { ($0, .float(Float($1))) }
    }
}

/// base^exponent by squaring.
private func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, square, rest) = (1.0, base, exponent)
    while rest > 0 {
        if rest & 1 == 1 { result *= square }
        square *= square
        rest >>= 1
    }
    return result
}

extension AdamW.Slot {
    /// By the names of the kernel's views.
    var arrays: [(String, NDArray?)] {
        [
            ("parameter", parameter.flattened), ("gradient", gradient.flattened),
            ("master", master?.flattened), ("m", m.flattened), ("v", v.flattened), ("m scale", scales?.m),
            ("v scale", scales?.v),
        ]
    }

    /// - Throws: `RuntimeError` naming the array that does not fit.
    func check(_ rounding: AdamW.Rounding) throws {
        let shape = parameter.shape
        for (name, array) in [("parameter", parameter), ("gradient", gradient), ("master", master)] {
            try array?.expectFloats(name, shape: shape)
        }
        try master?.expect("master", shape: shape, dtype: .f32)
        if let scales {
            guard parameter.count % AdamW.block == 0 else {
                throw RuntimeError(
                    "8-bit states have a scale for each \(AdamW.block) elements; found a parameter of shape "
                        + "\(shape). Keep its states in f32")
            }
            for (name, states, scales) in [("m", m, scales.m), ("v", v, scales.v)] {
                try states.expect(name, shape: shape, dtype: .u8)
                try scales.expectF32("the scales of \(name)", shape: [parameter.count / AdamW.block])
            }
        } else {
            for (name, states) in [("m", m), ("v", v)] { try states.expectFloats(name, shape: shape) }
        }
        if let whole {
            precondition(
                parameter.count == 0
                    || offset % 4096 == 0 && offset + parameter.count <= whole
                        && (parameter.count % 4096 == 0 || offset + parameter.count == whole),
                "a part of whole blocks, or the last")
        }
        if rounding == .stochastic, master == nil, parameter.dtype == .f16 {
            throw RuntimeError("f16 parameters are not rounded at random. Keep a master copy, or use bf16")
        }
    }
}

extension AdamWStep {
    /// The kernel for a tensor.
    init(
        _ slot: AdamW.Slot, _ rounding: AdamW.Rounding, scalesGradient: Bool, readsNumbers: Bool = false,
        isBundle: Bool = false
    ) {
        let isRounded = slot.master == nil && slot.parameter.dtype == .bf16
        // Which words an element gets depends on the whole tensor, so that parts are updated as the whole is.
        let whole = slot.whole ?? slot.parameter.count
        self.init(
            parameter: slot.parameter.dtype, gradient: slot.gradient.dtype, m: slot.m.dtype, v: slot.v.dtype,
            hasMaster: slot.master != nil, rounding: isRounded ? rounding : .toNearest,
            scalesGradient: scalesGradient,
            isPaired: whole % Self.block(slot.m.dtype, isBundle: isBundle) == 0,
            isBundle: isBundle, readsNumbers: readsNumbers)
    }

    func programs(_ count: Int) -> Int { (count + block - 1) / block }
}
