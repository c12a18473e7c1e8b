package import LigerKernels
import LigerLosses
import LigerRuntime

/// Operations by the fused kernels. `Reference` has the same ones written out.
package enum Fused {
    /// `RMSNorm` of the rows of x.
    package static func rmsNorm(_ x: Tensor, weight: Tensor, _ options: RMSNorm.Options) throws -> Tensor {
        let (input, scale) = (x.value, weight.value)
        let (y, rstd) = try RMSNorm.forward(input, weight: scale, options)
        let needsWeight = weight.requiresGradient
        let again = { try RMSNorm.forward(input, weight: scale, options).y }
        return x.tape.record(y, from: [x, weight], again: again) { upstream in
            let (dx, dw) = try RMSNorm.backward(
                dy: upstream.array, x: input, weight: scale, rstd: rstd, options, needsWeight: needsWeight)
            return [.array(dx), dw.map { .array($0) } ?? .none]
        }
    }

    /// Rotary embedding of x [batch, sequence, heads, head size].
    package static func rope(_ x: Tensor, _ tables: RotaryTables.Slice) throws -> Tensor {
        let y = try RoPE.apply(x.value, cos: tables.cos, sin: tables.sin)
        return x.tape.record(y, from: [x]) { upstream in
            [.array(try RoPE.apply(upstream.array, cos: tables.cos, sin: tables.sin, inverse: true))]
        }
    }

    /// silu(gate) up.
    package static func swiGLU(gate: Tensor, up: Tensor) throws -> Tensor {
        let (a, b) = (gate.value, up.value)
        let forward = { try SwiGLU.forward(gate: a, up: b) }
        return gate.tape.record(try forward(), from: [gate, up], again: forward) { upstream in
            let (dgate, dup) = try SwiGLU.backward(dy: upstream.array, gate: a, up: b)
            return [.array(dgate), .array(dup)]
        }
    }
    /// gelu(gate) up, by the approximation with tanh.
    package static func geGLU(gate: Tensor, up: Tensor) throws -> Tensor {
        let (a, b) = (gate.value, up.value)
        let forward = { try GeGLU.forward(gate: a, up: b) }
        return gate.tape.record(try forward(), from: [gate, up], again: forward) { upstream in
            let (dgate, dup) = try GeGLU.backward(dy: upstream.array, gate: a, up: b)
            return [.array(dgate), .array(dup)]
        }
    }
}
