import LigerRuntime
import Tile

/// y = x Φ(x), Φ being the normal distribution's integral, by its approximation with tanh (Hendrycks and Gimpel, 2016):
///
///     Φ(x) = sigmoid(2 u)      u = √(2/π) (x + 0.044715 x³)      dx = dy (Φ + x Φ (1 - Φ) 2 du/dx)
enum GELU {
    static func forward(_ x: NDArray) throws -> NDArray {
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try GELUKernel(dtype: x.dtype).launch(
            programs: Elementwise.programs(of: y), ["x": x.flattened, "y": y.flattened])
        return y
    }

    static func backward(dy: NDArray, x: NDArray) throws -> NDArray {
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        try GELUGradientKernel(dtype: x.dtype).launch(
            programs: Elementwise.programs(of: dx),
            ["dy": dy.flattened, "x": x.flattened, "dx": dx.flattened])
        return dx
    }
}

/// 2 √(2/π).
private let slope = 2 * (2 / Float.pi).squareRoot()
private let cubic: Float = 0.044715

private struct GELUKernel: TileKernel {
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), y = p.output("y", dtype, rank: 1)
        let i = p.elements(of: y), v = x[i]
        y[i] = v * sigmoid(v * (v * v * cubic + 1) * slope)
    }
}

private struct GELUGradientKernel: TileKernel {
    let dtype: DType

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 1), x = p.input("x", dtype, rank: 1)
        let dx = p.output("dx", dtype, rank: 1)
        let i = p.elements(of: dx), v = x[i]
        let share = sigmoid(v * (v * v * cubic + 1) * slope)
        let growth = (v * v * (3 * cubic) + 1) * slope
        dx[i] = dy[i] * (share + v * share * (1 - share) * growth)
    }
}
