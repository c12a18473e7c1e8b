import Tile

/// Functions of one number.
package enum ElementFunction: Hashable, Sendable {
    case scaled(by: Float), plus(Float), rsqrt, exp, log, sigmoid, tanh, reciprocal
}

private func value(of function: ElementFunction, at x: Tile<Float>) -> Tile<Float> {
    switch function {
    case .scaled(let factor): x * factor
    case .plus(let term): x + term
    case .rsqrt: rsqrt(x)
    case .exp: exp(x)
    case .log: log(x)
    case .sigmoid: sigmoid(x)
    case .tanh: tanh(x)
    case .reciprocal: reciprocal(x)
    }
}

/// The derivative at x, where the value is y.
private func derivative(of function: ElementFunction, at x: Tile<Float>, _ y: Tile<Float>) -> Tile<Float> {
    switch function {
    case .scaled(let factor): x * 0 + factor
    case .plus: x * 0 + 1
    case .rsqrt: -0.5 * y * y * y
    case .exp: y
    case .log: 1 / x
    case .sigmoid: y * (1 - y)
    case .tanh: 1 - y * y
    case .reciprocal: -(y * y)
    }
}

/// y = f(x).
struct FunctionKernel: TileKernel {
    let function: ElementFunction
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), y = p.output("y", dtype, rank: 1)
        let i = p.elements(of: y)
        y[i] = value(of: function, at: x[i])
    }
}

/// dx = dy f'(x).
struct FunctionDerivativeKernel: TileKernel {
    let function: ElementFunction
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), y = p.input("y", dtype, rank: 1)
        let dy = p.input("dy", dtype, rank: 1), dx = p.output("dx", dtype, rank: 1)
        let i = p.elements(of: dx)
        dx[i] = dy[i] * derivative(of: function, at: x[i], y[i])
    }
}

/// y = a b.
struct MultiplyKernel: TileKernel {
    let a: DType
    let b: DType
    let y: DType

    func body(_ p: Program) {
        let a = p.input("a", a, rank: 1), b = p.input("b", b, rank: 1), y = p.output("y", y, rank: 1)
        let i = p.elements(of: y)
        y[i] = a[i] * b[i]
    }
}

/// How a smaller array meets the rows of a matrix.
enum RowSource: Hashable, Sendable {
    /// One number for each row: [rows].
    case numberPerRow
    /// Rows of a table [length, columns], each serving `divisor` rows in turn, then from the start again.
    case table
}

/// y = x b or x - b, b as `source` says; one program a row.
struct BroadcastKernel: TileKernel {
    enum Operation: Hashable, Sendable { case multiply, subtract }

    let operation: Operation
    let source: RowSource
    let columns: Int
    let x: DType
    let b: DType

    func body(_ p: Program) {
        let x = p.input("x", x, rank: 2), y = p.output("y", self.x, rank: 2)
        let c = p.range(columns)
        let other: Tile<Float>
        switch source {
        case .numberPerRow:
            other = p.input("b", b, rank: 1)[p.index]
        case .table:
            let table = p.input("b", b, rank: 2)
            let divisor = p.scalar("divisor", as: Int.self)
            other = table[(p.index / divisor) % table.size(0), c]
        }
        let v = x[p.index, c]
        y[p.index, c] = operation == .multiply ? v * other : v - other
    }
}

/// Each row's sum or largest element; one program a row.
struct RowReductionKernel: TileKernel {
    enum Operation: Hashable, Sendable { case sum, maximum }

    let operation: Operation
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", .f32, rank: 1)
        let v = x[p.index, p.range(columns)]
        y[p.index] = operation == .sum ? sum(v) : max(v)
    }
}

/// y[row] = x[row] in every column; one program a row.
struct SpreadKernel: TileKernel {
    let columns: Int
    let sign: Float
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 1), y = p.output("y", dtype, rank: 2)
        y[p.index, p.range(columns)] = x[p.index] * sign
    }
}

/// The two of each pair (x[row, 0, i], x[row, 1, i]) exchanged, the first of the result with a minus, times `sign`; one
/// program a row. With the sign -1 it is the derivative of itself with +1.
struct ExchangePairsKernel: TileKernel {
    let count: Int
    let sign: Float
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 3), y = p.output("y", dtype, rank: 3)
        let c = p.range(count)
        y[p.index, 0, c] = x[p.index, 1, c] * -sign
        y[p.index, 1, c] = x[p.index, 0, c] * sign
    }
}

/// y[row] = x[row, labels[row]], 0 for ignored rows; one program a row.
struct GatherLabelKernel: TileKernel {
    let columns: Int
    let labels: DType

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), labels = p.input("labels", labels, rank: 1, as: Int.self)
        let y = p.output("y", .f32, rank: 1), ignored = p.scalar("ignored", as: Int.self)
        let label = labels[p.index]
        p.require(
            (label == ignored) | ((label >= 0) & (label < columns)),
            "label {} is outside of the vocabulary of \(columns). Check the labels, or ignore it", label)
        y[p.index] = p.choose(label == ignored) {
            (p.index * 0).float
        } otherwise: {
            x[p.index, label]
        }
    }
}

/// dx[row] = dy[row] in the label's column, else 0, also in ignored rows; one program a row.
struct ScatterLabelKernel: TileKernel {
    let columns: Int
    let labels: DType

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let dy = p.input("dy", .f32, rank: 1), dx = p.output("dx", .f32, rank: 2)
        let ignored = p.scalar("ignored", as: Int.self)
        let c = p.range(columns), label = labels[p.index]
        let hit = select(label == ignored, 0, dy[p.index])
        dx[p.index, c] = select(c.index == label.int32, p.full(c, 0) + hit, 0)
    }
}

/// How many labels are not the ignored one, at least 1: a mean over nothing is 0; one program.
struct CountLabelsKernel: TileKernel {
    let labels: DType

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let number = p.output("number", .f32, rank: 1), ignored = p.scalar("ignored", as: Int.self)
        let zero = p.index * 0
        let count = p.loop(from: zero, to: labels.size(0), carrying: zero.float) { i, count in
            count + (labels[i] != ignored).float
        }
        number[p.index] = maximum(count, 1)
    }
}
