import Tile

/// The widest block of columns, a multiple of `step`, that wastes least.
func blockWidth(of columns: Int, step: Int, atMost most: Int) -> Int {
    func covered(_ width: Int) -> Int { (columns + width - 1) / width * width }
    return stride(from: most, through: step, by: -step).min { covered($0) < covered($1) } ?? most
}

/// What all kernels over experts' rows are told of them.
private struct ExpertBlocks {
    /// The expert of the program's row.
    let expert: Tile<Int>

    init(_ p: Program) {
        let experts = p.input("experts", .i32, rank: 1, as: Int.self)
        p.runs(below: p.input("count", .i32, rank: 1, as: Int.self))
        expert = experts[p.index / ExpertRows.block]
    }
}

/// y[r] = x of the token whose choice has row r; zeros where no choice has it. One program a row.
struct GatheredRows: TileKernel {
    let columns: Int
    let dtype: DType
    /// Choices of a token.
    let choices: Int

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), source = p.input("source", .i32, rank: 1, as: Int.self)
        p.runs(below: p.input("count", .i32, rank: 1, as: Int.self))
        let y = p.output("y", dtype, rank: 2)
        let c = p.range(columns), choice = source[p.index]

        y[p.index, c] = select(choice >= 0, x[maximum(choice, 0) / choices, c], 0)
    }
}

/// y[t] = sum over k of w[t, k] x[row of choice k of t], or the sum of these rows; one program a token.
struct MixedRows: TileKernel {
    let columns: Int
    let dtype: DType
    let choices: Int
    /// Nil where rows are added as they are.
    let weights: DType?

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), place = p.input("place", .i32, rank: 1, as: Int.self)
        let weights = weights.map { p.input("weights", $0, rank: 1) }
        let y = p.output("y", dtype, rank: 2)
        let c = p.range(columns)

        let terms = (0..<choices).map { k in
            let choice = p.index * choices + k, row = place[choice], value = x[maximum(row, 0), c]
            return select(row >= 0, weights.map { $0[choice] * value } ?? value, 0)
        }
        y[p.index, c] = terms.dropFirst().reduce(terms[0], +)
    }
}

/// y = silu(x G^T) (x U^T), G and U the halves of the row's expert's matrix; one program a row and block of columns.
struct ExpertActivations: TileKernel {
    /// Columns of the result: rows of half a matrix.
    let columns: Int
    let dtype: DType
    /// Whether x G^T and x U^T are stored too, next to each other.
    let keepsGates: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let blocks = ExpertBlocks(p)
        let gates = keepsGates ? p.output("gates", dtype, rank: 2) : nil
        let y = p.output("y", dtype, rank: 2)
        let width = blockWidth(of: columns, step: 32, atMost: 128)
        let c = p.blockOfColumns(of: y, width: width, isWhole: columns % width == 0)
        let row = p.index, first = blocks.expert * (2 * columns)

        let gate = product(x.row(row), w.rows(c + first))
        let up = product(x.row(row), w.rows(c + (first + columns)))
        if let gates {
            gates[row, c] = gate
            gates[row, c + columns] = up
        }
        y[row, c] = gate * sigmoid(gate) * up
    }
}

/// y = x W^T, or x W, W the row's expert's matrix; one program a row and block of columns.
struct ExpertProduct: TileKernel {
    /// Columns of x, and of the result.
    let depth: Int
    let columns: Int
    let dtype: DType
    /// Whether an expert's matrix is [columns, depth], its rows multiplied, or [depth, columns].
    let hasRows: Bool

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let blocks = ExpertBlocks(p)
        let y = p.output("y", dtype, rank: 2)
        let width = blockWidth(of: columns, step: 64, atMost: 256)
        let c = p.blockOfColumns(of: y, width: width, isWhole: columns % width == 0)
        let row = p.index

        y[row, c] =
            hasRows
            ? product(x.row(row), w.rows(c + blocks.expert * columns))
            : product(
                x.row(row).part(count: depth), w.columns(c).part(from: blocks.expert * depth, count: depth))
    }
}

/// Through the second product and the gate. With d = dy W, v the row's weight, s = sigmoid(gate) and a = gate s:
///
///     dgate = v d up s (1 + gate (1 - s))      dup = v d a      v a up for W's gradient      sum(d a up) for v's
///
/// One program a row and block of columns.
struct ExpertGateGradients: TileKernel {
    let columns: Int
    /// Columns of dy.
    let depth: Int
    let dtype: DType
    let weights: DType
    let hasActivations: Bool
    let hasSums: Bool

    /// Narrower than a tile may be, as gates and ups want registers too.
    var width: Int { blockWidth(of: columns, step: 64, atMost: 192) }

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2), w = p.input("weight", dtype, rank: 2)
        let gates = p.input("gates", dtype, rank: 2), weights = p.input("weights", weights, rank: 1)
        let source = p.input("source", .i32, rank: 1, as: Int.self)
        let blocks = ExpertBlocks(p)
        let dgates = p.output("dgates", dtype, rank: 2)
        let activations = hasActivations ? p.output("activations", dtype, rank: 2) : nil
        let sums = hasSums ? p.output("sums", .f32, rank: 2) : nil
        let c = p.blockOfColumns(of: w, width: width, isWhole: columns % width == 0)
        let row = p.index, choice = source[row]

        let d = product(
            dy.row(row).part(count: depth), w.columns(c).part(from: blocks.expert * depth, count: depth))
        let v = select(choice >= 0, weights[maximum(choice, 0)], 0)
        let gate = gates[row, c], up = gates[row, c + columns]
        let s = sigmoid(gate), a = gate * s
        dgates[row, c] = v * d * up * (s + a * (1 - s))
        dgates[row, c + columns] = v * d * a
        if let activations { activations[row, c] = v * a * up }
        if let sums { sums[row, p.columnBlock] = sum(d * (a * up)) }
    }
}

/// dW = dy^T x over each expert's rows, added to what is there where asked; one program a row of the experts' matrices and
/// block of columns. Zeros where an expert has no rows.
struct ExpertWeightGradient: TileKernel {
    /// Rows and columns of an expert's matrix.
    let rows: Int
    let columns: Int
    let dtype: DType
    let stored: DType
    let accumulates: Bool

    func body(_ p: Program) {
        let dy = p.input("dy", dtype, rank: 2), x = p.input("x", dtype, rank: 2)
        let starts = p.input("starts", .i32, rank: 1, as: Int.self)
        let dw = accumulates ? p.update("dw", stored, rank: 2) : p.output("dw", stored, rank: 2)
        let width = blockWidth(of: columns, step: 64, atMost: 256)
        let c = p.blockOfColumns(of: dw, width: width, isWhole: columns % width == 0)
        let expert = p.index / rows, start = starts[expert] * ExpertRows.block
        let count = starts[expert + 1] * ExpertRows.block - start

        let gradient = product(
            dy.column(p.index % rows).part(from: start, count: count),
            x.columns(c).part(from: start, count: count))
        dw[p.index, c] = accumulates ? dw[p.index, c] + gradient : gradient
    }
}

/// The gradient of a choice's weight from its row's sums over blocks of columns; one program a choice.
struct ChoiceGradients: TileKernel {
    let blocks: Int
    let dtype: DType

    func body(_ p: Program) {
        let sums = p.input("sums", .f32, rank: 2), place = p.input("place", .i32, rank: 1, as: Int.self)
        let dweights = p.output("dweights", dtype, rank: 1)
        let row = place[p.index]
        dweights[p.index] = select(row >= 0, sum(sums[maximum(row, 0), p.range(blocks)]), 0)
    }
}
