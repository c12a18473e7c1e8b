// Products of matrices. A kernel sees one row of the result, cut into blocks of columns: an ordinary tile, so that all
// that follows is ordinary tile code. The device does the rows of many programs at once.

/// One row or column of a matrix, or a part of it.
public struct MatrixLine {
    let program: Program
    let view: Int
    let contracted: Int
    let position: Tile<Int>
    var part: LinePart?

    /// The line's elements start ..< start + count.
    public func part(from start: Tile<Int>, count: Tile<Int>) -> MatrixLine {
        var line = self
        line.part = LinePart(start: start, count: count)
        return line
    }

    /// The same with a count that is known.
    public func part(from start: Tile<Int>, count: Int) -> MatrixLine {
        part(from: start, count: Tile(program, program.constant(.index(count))))
    }

    /// The line's first elements.
    public func part(count: Int) -> MatrixLine {
        part(from: Tile(program, program.constant(.index(0))), count: count)
    }
}

/// Consecutive rows or columns of a matrix, one for each position of an axis.
public struct MatrixLines {
    let view: Int
    let contracted: Int
    let axis: Axis
    var part: LinePart?

    /// Of each line the elements start ..< start + count.
    public func part(from start: Tile<Int>, count: Tile<Int>) -> MatrixLines {
        var lines = self
        lines.part = LinePart(start: start, count: count)
        return lines
    }

    /// The same with a count that is known.
    public func part(from start: Tile<Int>, count: Int) -> MatrixLines {
        part(from: start, count: Tile(axis.program, axis.program.constant(.index(count))))
    }
}

struct LinePart {
    let start: Tile<Int>
    let count: Tile<Int>
}

extension View where Element == Float {
    /// Row i of a matrix.
    public func row(_ i: Tile<Int>) -> MatrixLine {
        MatrixLine(program: program, view: number, contracted: 1, position: i)
    }

    /// Column i of a matrix.
    public func column(_ i: Tile<Int>) -> MatrixLine {
        MatrixLine(program: program, view: number, contracted: 0, position: i)
    }

    /// The rows of a matrix that an axis names.
    public func rows(_ axis: Axis) -> MatrixLines { MatrixLines(view: number, contracted: 1, axis: axis) }

    /// The columns of a matrix that an axis names.
    public func columns(_ axis: Axis) -> MatrixLines {
        MatrixLines(view: number, contracted: 0, axis: axis)
    }
}

/// Lane j is the sum over k of a[k] b_j[k], summed in fp32: a row of a product of two matrices.
///
/// The matrices are inputs of rank 2, whose lines have one length. Of parts of lines the sum is over their elements; both
/// factors' parts have one count. A part without elements gives zeros.
///
/// On a GPU all that says where lines and parts are may depend on a program's number only by `index / n`, and the line of
/// a by `index` or `index % n` too, with n a multiple of 128: what a block does at a time has one such number. There a
/// part's count is a multiple of 64.
public func product(
    _ a: MatrixLine, _ b: MatrixLines, file: StaticString = #fileID, line: UInt = #line
) -> Tile<Float> {
    let (program, location) = (a.program, SourceLocation(file, line))
    for view in [a.view, b.view] {
        let parameter = program.function.views[view]
        if parameter.rank != 2 || parameter.access != .input {
            program.report(
                location,
                "a product of \(parameter.name), an \(parameter.access.rawValue) of rank \(parameter.rank)",
                "Take lines of matrices that are declared with `input` and rank 2")
        }
    }
    if a.part?.count.id != b.part?.count.id {
        program.report(
            location, "a product of parts of lines that have counts of their own",
            "Take parts of both factors' lines, with one value for the count")
    }
    var positions = [a.position.id, b.axis.start.id]
    if let partOfA = a.part, let partOfB = b.part {
        positions += [partOfA.start.id, partOfB.start.id, partOfA.count.id]
    }
    let product = Contraction(
        a: a.view, contractedA: a.contracted, b: b.view, contractedB: b.contracted,
        isPart: positions.count > 2)
    let type = ValueType(element: .f32, extent: b.axis.extent)
    return Tile(program, program.emit(.product(product), positions, type, at: location))
}

extension Program {
    /// This program's block of a view's rows: positions block * width ..< min((block + 1) * width, rows).
    ///
    /// A launch runs the kernel for each of its programs and each such block; `index` is the program's number among
    /// those of its block. A kernel has one such axis at most.
    ///
    /// - Parameters:
    ///   - view: a matrix.
    ///   - width: rows of a block.
    ///   - isWhole: whether the rows are known to be a multiple of the width, so that no block is cut: half the
    ///     code, where that is so.
    ///   - file: for messages; leave it out.
    ///   - line: for messages; leave it out.
    public func blockOfRows(
        of view: View<Float>, width: Int, isWhole: Bool = false, file: StaticString = #fileID,
        line: UInt = #line
    ) -> Axis {
        block(of: view, dimension: 0, width: width, isWhole, SourceLocation(file, line))
    }

    /// This program's block of a view's columns; see `blockOfRows`.
    public func blockOfColumns(
        of view: View<Float>, width: Int, isWhole: Bool = false, file: StaticString = #fileID,
        line: UInt = #line
    ) -> Axis {
        block(
            of: view, dimension: view.parameter.rank - 1, width: width, isWhole, SourceLocation(file, line))
    }

    /// The number of this program's block of columns, from 0.
    public var columnBlock: Tile<Int> { Tile(self, emit(.columnBlock, [], .scalar(.index), at: start)) }

    private func block(
        of view: View<Float>, dimension: Int, width: Int, _ isWhole: Bool, _ location: SourceLocation
    ) -> Axis {
        if width < 1 || function.columnBlocks != nil {
            report(
                location, width < 1 ? "a block of \(width) positions" : "a second cut into blocks",
                "Cut one dimension of one view, into blocks of one position or more")
        }
        function.columnBlocks = ColumnBlocks(view: view.number, dimension: dimension, width: max(1, width))
        if isWhole { return range(max(1, width)) + columnBlock * width }
        let size = Tile<Int>(
            self,
            emit(.size(view: view.number, dimension: dimension), [], .scalar(.index), at: location))
        return range(from: columnBlock * width, capacity: max(1, width), limit: size)
    }
}
