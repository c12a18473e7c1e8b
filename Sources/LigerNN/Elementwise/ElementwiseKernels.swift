import Tile

/// What one program of an elementwise kernel handles.
let elementsPerProgram = 4096

extension Program {
    /// This program's elements of a flat array.
    func elements(of view: View<Float>) -> Axis {
        range(from: index * elementsPerProgram, capacity: elementsPerProgram, limit: view.size(0))
    }
}

/// sum = a + b.
struct AddKernel: TileKernel {
    let a: DType
    let b: DType
    let sum: DType

    func body(_ p: Program) {
        let a = p.input("a", a, rank: 1), b = p.input("b", b, rank: 1)
        let sum = p.output("sum", sum, rank: 1)
        let i = p.elements(of: sum)
        sum[i] = a[i] + b[i]
    }
}

/// sum += term.
struct AccumulateKernel: TileKernel {
    let term: DType
    let sum: DType

    func body(_ p: Program) {
        let term = p.input("term", term, rank: 1), sum = p.update("sum", sum, rank: 1)
        let i = p.elements(of: sum)
        sum[i] = sum[i] + term[i]
    }
}

/// y[row] = x[row]; one program a row.
struct CopyRowsKernel: TileKernel {
    let columns: Int
    let x: DType
    let y: DType

    func body(_ p: Program) {
        let x = p.input("x", x, rank: 2), y = p.output("y", y, rank: 2)
        let c = p.range(columns)
        y[p.index, c] = x[p.index, c]
    }
}

/// x = value.
struct FillKernel: TileKernel {
    let x: DType

    func body(_ p: Program) {
        let x = p.output("x", x, rank: 1)
        let value = p.scalar("value")
        x[p.elements(of: x)] = value
    }
}

/// y = x + row; one program a row of x.
struct AddRowKernel: TileKernel {
    let columns: Int
    let x: DType
    let row: DType

    func body(_ p: Program) {
        let x = p.input("x", x, rank: 2), row = p.input("row", row, rank: 1)
        let y = p.output("y", self.x, rank: 2)
        let c = p.range(columns)
        y[p.index, c] = x[p.index, c] + row[c]
    }
}
