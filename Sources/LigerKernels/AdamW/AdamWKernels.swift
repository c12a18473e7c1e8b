import Tile

/// The formulas at `AdamW`; one program a block of a tensor.
struct AdamWStep: TileKernel {
    static let block = 4096
    let parameter: DType
    let gradient: DType
    let m: DType
    let v: DType
    let hasMaster: Bool

    func body(_ p: Program) {
        let parameter =
            hasMaster
            ? p.output("parameter", parameter, rank: 1) : p.update("parameter", parameter, rank: 1)
        let gradient = p.input("gradient", gradient, rank: 1)
        let m = p.update("m", m, rank: 1), v = p.update("v", v, rank: 1)
        let master = hasMaster ? p.update("master", .f32, rank: 1) : nil
        let decay = p.scalar("decay"), rate1 = p.scalar("1 - beta1")
        let beta2 = p.scalar("beta2"), rate2 = p.scalar("1 - beta2")
        let size = p.scalar("step size"), root = p.scalar("root of correction"), eps = p.scalar("eps")
        let i = p.range(from: p.index * Self.block, capacity: Self.block, limit: gradient.size(0))

        let g = gradient[i]
        let m1 = m[i] + rate1 * (g - m[i])
        let v1 = beta2 * v[i] + rate2 * g * g
        let w = (master ?? parameter)[i] * decay - size * (m1 / (sqrt(v1) / root + eps))
        m[i] = m1
        v[i] = v1
        master?[i] = w
        parameter[i] = w
    }
}
