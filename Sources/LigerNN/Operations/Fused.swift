package import LigerKernels
import LigerLosses
package import LigerRuntime

/// Operations by the fused kernels. `Reference` has the same ones written out.
package enum Fused {
    /// `RMSNorm` of the rows of x.
    package static func rmsNorm(_ x: Tensor, weight: Tensor, _ options: RMSNorm.Options) throws -> Tensor {
        let (input, scale) = (x.saved, weight.value)
        let (y, rstd) = try RMSNorm.forward(x.value, weight: scale, options)
        let needsWeight = weight.requiresGradient
        let again = { try RMSNorm.forward(input.array(), weight: scale, options).y }
        return x.tape.record(y, from: [x, weight], again: again) { upstream in
            let (dx, dw) = try RMSNorm.backward(
                dy: upstream.array, x: input.array(), weight: scale, rstd: rstd, options,
                needsWeight: needsWeight)
            return [.array(dx), dw.map { .array($0) } ?? .none]
        }
    }

    /// Rotary embedding of x [batch, sequence, heads, head size].
    ///
    /// - Parameter positions: of each token; nil counts each sequence from 0.
    package static func rope(
        _ x: Tensor, _ tables: RotaryTables.Slice, positions: NDArray? = nil
    ) throws -> Tensor {
        let (cos, sin) = (tables.cos, tables.sin)
        let rotate = { (x: NDArray) in try RoPE.apply(x, cos: cos, sin: sin, positions: positions) }
        let (y, again) = (try rotate(x.value), x.recipe(applying: rotate))
        return x.tape.record(y, from: [x], recipe: again) { upstream in
            [
                .array(
                    try RoPE.apply(upstream.array, cos: cos, sin: sin, positions: positions, inverse: true))
            ]
        }
    }

    /// Rotary embedding of pairs side by side, by their cosines and sines [batch or 1, sequence, head size / 2, 2].
    package static func rope(_ x: Tensor, pairs: NDArray) throws -> Tensor {
        let rotate = { (x: NDArray) in try InterleavedRoPE.apply(x, rotations: pairs) }
        let (y, again) = (try rotate(x.value), x.recipe(applying: rotate))
        return x.tape.record(y, from: [x], recipe: again) { upstream in
            [.array(try InterleavedRoPE.apply(upstream.array, rotations: pairs, inverse: true))]
        }
    }

    /// `LayerNorm` of the rows of x.
    package static func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws -> Tensor {
        let (input, scale, shift) = (x.saved, weight.value, bias.value)
        let (y, mean, rstd) = try LayerNorm.forward(x.value, weight: scale, bias: shift, eps: eps)
        let needs = (weight.requiresGradient, bias.requiresGradient)
        let again = { try LayerNorm.forward(input.array(), weight: scale, bias: shift, eps: eps).y }
        return x.tape.record(y, from: [x, weight, bias], again: again) { upstream in
            let (dx, dw, db) = try LayerNorm.backward(
                dy: upstream.array, x: input.array(), weight: scale, mean: mean, rstd: rstd,
                needsWeight: needs.0, needsBias: needs.1)
            return [
                .array(dx), dw.map { .array($0) } ?? .none, db.map { .array($0) } ?? .none,
            ]
        }
    }

    /// gelu(x), by the approximation with tanh.
    package static func gelu(_ x: Tensor) throws -> Tensor {
        let input = x.saved
        let again = { try GELU.forward(input.array()) }
        return x.tape.record(try GELU.forward(x.value), from: [x], again: again) { upstream in
            [.array(try GELU.backward(dy: upstream.array, x: input.array()))]
        }
    }

    /// silu(gate) up.
    package static func swiGLU(gate: Tensor, up: Tensor) throws -> Tensor {
        let (a, b) = (gate.saved, up.saved)
        let y = try SwiGLU.forward(gate: gate.value, up: up.value)
        let again = { try SwiGLU.forward(gate: a.array(), up: b.array()) }
        return gate.tape.record(y, from: [gate, up], again: again) { upstream in
            let (dgate, dup) = try SwiGLU.backward(
                dy: upstream.array, gate: a.array(), up: b.array())
            return [.array(dgate), .array(dup)]
        }
    }
    /// gelu(gate) up, by the approximation with tanh.
    package static func geGLU(gate: Tensor, up: Tensor) throws -> Tensor {
        let (a, b) = (gate.saved, up.saved)
        let y = try GeGLU.forward(gate: gate.value, up: up.value)
        let again = { try GeGLU.forward(gate: a.array(), up: b.array()) }
        return gate.tape.record(y, from: [gate, up], again: again) { upstream in
            let (dgate, dup) = try GeGLU.backward(
                dy: upstream.array, gate: a.array(), up: b.array())
            return [.array(dgate), .array(dup)]
        }
    }
}
