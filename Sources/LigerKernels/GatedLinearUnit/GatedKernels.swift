import Tile

/// y = f(gate) up, f(gate) rounded to storage first; one program a row. With multipliers g and d,
/// y = f(g gate) up d.
struct GatedForward: TileKernel {
    let columns: Int
    let dtype: DType
    let activation: GatedActivation
    var multipliers = GatedMultipliers.none

    var name: String { activation.operation + "Forward" }

    func body(_ p: Program) {
        let gate = p.input("gate", dtype, rank: 2), up = p.input("up", dtype, rank: 2)
        let y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(columns)

        let value = activation(scaled(gate[row, c], by: multipliers.gate)).value.rounded(to: dtype)
        y[row, c] = scaled(value * up[row, c], by: multipliers.down)
    }
}

/// dgate = dy up f'(gate), dup = dy f(gate); one program a row. Over its inputs it writes dgate to gate and dup to
/// up, with the same bits.
struct GatedBackward: TileKernel {
    let columns: Int
    let dtype: DType
    let activation: GatedActivation
    var multipliers = GatedMultipliers.none
    var isOverInputs = false

    var name: String { activation.operation + (isOverInputs ? "BackwardOverInputs" : "Backward") }

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2)
        let gate = isOverInputs ? p.update("gate", dtype, rank: 2) : p.input("gate", dtype, rank: 2)
        let up = isOverInputs ? p.update("up", dtype, rank: 2) : p.input("up", dtype, rank: 2)
        let dgate = isOverInputs ? gate : p.output("dgate", dtype, rank: 2)
        let dup = isOverInputs ? up : p.output("dup", dtype, rank: 2)
        let row = p.index, c = p.range(columns)

        let (value, derivative) = activation(scaled(gate[row, c], by: multipliers.gate))
        let g = scaled(dy[row, c], by: multipliers.down)
        dgate[row, c] = scaled(g * up[row, c] * derivative, by: multipliers.gate)
        dup[row, c] = g * value.rounded(to: dtype)
    }
}
