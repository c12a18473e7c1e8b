package import LigerRuntime
import Tile

/// A smooth bound: v = c tanh(s x / c), with a factor s. Nothing is saved but v.
package enum Softcap {
    /// - Parameters:
    ///   - y: like x, of any storage; x itself to overwrite it.
    ///   - cap: c, above 0.
    package static func forward(_ x: NDArray, into y: NDArray, scale: Float = 1, cap: Float) throws {
        let isInPlace = x.address == y.address
        try SoftcapKernel(x: x.dtype, y: y.dtype, isInPlace: isInPlace).launch(
            programs: Elementwise.programs(of: y), ["x": isInPlace ? nil : x.flattened, "y": y.flattened],
            scalars: ["scale": .float(scale / cap), "cap": .float(cap)])
    }

    /// dx = s (1 - (v / c)^2) dv, over dv.
    package static func backward(inPlace dv: NDArray, v: NDArray, scale: Float = 1, cap: Float) throws {
        try SoftcapSlopeKernel(v: v.dtype, gradient: dv.dtype).launch(
            programs: Elementwise.programs(of: dv), ["v": v.flattened, "gradient": dv.flattened],
            scalars: ["scale": .float(scale), "inverse": .float(1 / cap)])
    }
}

/// y = cap tanh(scale x).
private struct SoftcapKernel: TileKernel {
    let x: DType
    let y: DType
    let isInPlace: Bool

    func body(_ p: Program) {
        let given = isInPlace ? nil : p.input("x", x, rank: 1)
        let y = isInPlace ? p.update("y", y, rank: 1) : p.output("y", y, rank: 1)
        let x = given ?? y
        let i = p.elements(of: y)
        y[i] = tanh(x[i] * p.scalar("scale")) * p.scalar("cap")
    }
}

/// gradient = scale (1 - (inverse v)^2) gradient.
private struct SoftcapSlopeKernel: TileKernel {
    let v: DType
    let gradient: DType

    func body(_ p: Program) {
        let v = p.input("v", v, rank: 1), gradient = p.update("gradient", gradient, rank: 1)
        let i = p.elements(of: gradient)
        let scale = p.scalar("scale"), bounded = v[i] * p.scalar("inverse")
        gradient[i] = gradient[i] * (1 - bounded * bounded) * scale
    }
}

extension Tensor {
    /// cap tanh(x / cap) of each element, rounded once.
    package func softcapped(by cap: Float) throws -> Tensor {
        let y = try NDArray(empty: shape, dtype: dtype, device: value.device)
        try Softcap.forward(value, into: y, cap: cap)
        return tape.record(y, from: [self]) { upstream in
            let dx = try NDArray(empty: y.shape, dtype: y.dtype, device: y.device)
            try Elementwise.copyRows(upstream.array.rows, into: dx.rows)
            try Softcap.backward(inPlace: dx, v: y, cap: cap)
            return [.array(dx)]
        }
    }
}
