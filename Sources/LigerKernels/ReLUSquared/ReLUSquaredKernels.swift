import Tile

/// y = max(x, 0)^2; one program a row.
struct ReLUSquaredForward: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(columns)

        let positive = maximum(x[row, c], 0)
        y[row, c] = positive * positive
    }
}

/// dx = 2 max(x, 0) dy; one program a row.
struct ReLUSquaredBackward: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2), x = p.input("x", dtype, rank: 2)
        let dx = p.output("dx", dtype, rank: 2)
        let row = p.index, c = p.range(columns)

        dx[row, c] = maximum(x[row, c], 0) * dy[row, c] * 2
    }
}
