import Tile

/// The largest magnitude of each block; one program a block.
struct LargestOfBlocks: TileKernel {
    static let block = 16_384
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 1), largest = p.output("largest", .f32, rank: 1)
        let v = x[p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(0))]
        largest[p.index] = max(abs(v))
    }
}

/// The largest of some numbers as a scale, and what numbers are multiplied by; one program.
struct ScaleOfLargest: TileKernel {
    let type: DType

    func body(_ p: Program) {
        let x = p.input("largest", .f32, rank: 1)
        let scale = p.output("scale", .f32, rank: 1), factor = p.output("factor", .f32, rank: 1)
        let block = 4096, zero = p.index * 0
        let largest = p.loop(
            from: zero, to: x.size(0), step: zero + block, carrying: zero.float
        ) { start, partial in
            maximum(partial, max(x[p.range(from: start, capacity: block, limit: x.size(0))]))
        }
        (scale[0], factor[0]) = type.scale(of: largest)
    }
}

/// y = x times a factor, in 8 bits; one program a block.
struct CastToFloat8: TileKernel {
    static let block = 4096
    let from: DType
    let to: DType

    func body(_ p: Program) {
        let x = p.input("x", from, rank: 1), factor = p.input("factor", .f32, rank: 1)
        let y = p.output("y", to, rank: 1)
        let i = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(0))
        y[i] = x[i] * factor[0]
    }
}

/// Rows with a scale each; one program a row.
struct RowsToFloat8: TileKernel {
    let from: DType
    let to: DType
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", from, rank: 2), y = p.output("y", to, rank: 2)
        let scale = p.output("scale", .f32, rank: 1)
        let c = p.range(columns)
        let row = x[p.index, c]
        let (found, factor) = to.scale(of: max(abs(row)))
        scale[p.index] = found
        y[p.index, c] = row * factor
    }
}

/// The largest magnitude of each column over some rows; one program for these rows.
struct LargestOfColumns: TileKernel {
    let dtype: DType
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), largest = p.output("largest", .f32, rank: 2)
        let rows = p.scalar("rows per program", as: Int.self)
        let c = p.range(columns)
        let first = p.index * rows
        largest[p.index, c] = p.loop(
            from: first, to: minimum(first + rows, x.size(0)), carrying: p.full(c, 0)
        ) { row, largest in maximum(largest, abs(x[row, c])) }
    }
}

/// Of partial maxima, the scale of each column; one program a block of columns.
struct ScalesOfColumns: TileKernel {
    private static let block = 256
    let type: DType

    static func programs(columns: Int) -> Int { (columns + block - 1) / block }

    func body(_ p: Program) {
        let x = p.input("largest", .f32, rank: 2)
        let scale = p.output("scale", .f32, rank: 1), factor = p.output("factor", .f32, rank: 1)
        let c = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(1))
        let largest = p.loop(from: p.index * 0, to: x.size(0), carrying: p.full(c, 0)) { row, largest in
            maximum(largest, x[row, c])
        }
        (scale[c], factor[c]) = type.scale(of: largest)
    }
}

extension DType {
    /// The scale of numbers up to a magnitude, and what they are multiplied by.
    fileprivate func scale(of largest: Tile<Float>) -> (scale: Tile<Float>, factor: Tile<Float>) {
        let most: Float = self == .e4m3 ? 448 : 57_344
        let divisor = maximum(largest, 1e-30)
        return (divisor / most, most / divisor)
    }
}

// MARK: - Transposition

/// Rows and columns exchanged. Lanes run along rows, so that they are contiguous where they are stored, and an access of 16
/// bytes loads a lane's elements of several columns; one program for some rows and columns.
struct TransposeBytes: TileKernel {
    func programs(rows: Int, columns: Int) -> Int { Transposition.programs(rows, columns, width: 16) }

    func body(_ p: Program) {
        let x = p.input("x", .u8, rank: 2, as: Int32.self)
        let y = p.output("y", .u8, rank: 2, as: Int32.self)
        let place = Transposition(p, rows: x.size(0), columns: x.size(1), width: 16)
        for column in 0..<16 { y[place.column + column, place.rows] = x[place.rows, place.column + column] }
    }
}

/// As `TransposeBytes`, of 16-bit floats times their column's factor.
struct TransposeToFloat8: TileKernel {
    let from: DType
    let to: DType
    private var width: Int { 16 / from.byteCount }

    func programs(rows: Int, columns: Int) -> Int { Transposition.programs(rows, columns, width: width) }

    func body(_ p: Program) {
        let x = p.input("x", from, rank: 2), factor = p.input("factor", .f32, rank: 1)
        let y = p.output("y", to, rank: 2)
        let place = Transposition(p, rows: x.size(0), columns: x.size(1), width: width)
        for column in 0..<width {
            let c = place.column + column
            y[c, place.rows] = x[place.rows, c] * factor[c]
        }
    }
}

/// What a program transposes.
private struct Transposition {
    private static let block = 512
    let rows: Axis
    let column: Tile<Int>

    /// Columns first, so that programs that run together read from the same rows.
    init(_ p: Program, rows: Tile<Int>, columns: Tile<Int>, width: Int) {
        let groups = columns / width
        self.rows = p.range(
            from: (p.index / groups) * Self.block, capacity: Self.block, limit: rows)
        column = (p.index % groups) * width
    }

    static func programs(_ rows: Int, _ columns: Int, width: Int) -> Int {
        (rows + block - 1) / block * (columns / width)
    }
}
