import Tile

/// y = f(gate) up, f(gate) rounded to storage first; one program a row.
struct GatedForward: TileKernel {
    let columns: Int
    let dtype: DType
    let activation: GatedActivation

    var name: String { activation.operation + "Forward" }

    func body(_ p: Program) {
        let gate = p.input("gate", dtype, rank: 2), up = p.input("up", dtype, rank: 2)
        let y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(columns)

        y[row, c] = activation(gate[row, c]).value.rounded(to: dtype) * up[row, c]
    }
}

/// dgate = dy up f'(gate), dup = dy f(gate); one program a row.
struct GatedBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let activation: GatedActivation

    var name: String { activation.operation + "Backward" }

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2)
        let gate = p.input("gate", dtype, rank: 2), up = p.input("up", dtype, rank: 2)
        let dgate = p.output("dgate", dtype, rank: 2), dup = p.output("dup", dtype, rank: 2)
        let row = p.index, c = p.range(columns)

        let (value, derivative) = activation(gate[row, c])
        let g = dy[row, c]
        dgate[row, c] = g * up[row, c] * derivative
        dup[row, c] = g * value.rounded(to: dtype)
    }
}
