/// C = alpha * op(A) * op(B) + beta * C, float32, row-major.
///
/// op(A) is `rows` x `inner`, op(B) is `inner` x `columns`, C is `rows` x `columns`. A row stride is the
/// number of elements from one row to the next as the matrix is stored, before op transposes it. With
/// beta 0, C is not read. C must not overlap A or B.
package struct MatrixProduct {
    /// A factor as it is stored.
    package struct Factor {
        package var elements: UnsafePointer<Float>
        package var rowStride: Int
        package var isTransposed: Bool

        package init(_ elements: UnsafePointer<Float>, rowStride: Int, transposed: Bool = false) {
            self.elements = elements
            self.rowStride = rowStride
            isTransposed = transposed
        }

        /// The factor without its first `count` rows (`ofRows`) or columns, counted after op.
        func dropping(_ count: Int, ofRows: Bool) -> Factor {
            let step = ofRows == isTransposed ? 1 : rowStride
            return Factor(elements + count * step, rowStride: rowStride, transposed: isTransposed)
        }
    }

    package var rows: Int
    package var columns: Int
    package var inner: Int
    package var alpha: Float
    package var a: Factor
    package var b: Factor
    package var beta: Float
    package var c: UnsafeMutablePointer<Float>
    package var cRowStride: Int

    package init(
        rows: Int, columns: Int, inner: Int, alpha: Float = 1, _ a: Factor, _ b: Factor, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, rowStride: Int
    ) {
        self.rows = rows
        self.columns = columns
        self.inner = inner
        self.alpha = alpha
        self.a = a
        self.b = b
        self.beta = beta
        self.c = c
        cRowStride = rowStride
    }

    /// Traps when a size is negative, too large for the library, or a row longer than its stride.
    func checkShape() {
        precondition(rows >= 0 && columns >= 0 && inner >= 0, "negative size in a matrix product")
        let sizes = [rows, columns, inner, a.rowStride, b.rowStride, cRowStride]
        precondition(sizes.allSatisfy { $0 <= Int(Int32.max) }, "matrix product too large for the library")
        precondition(a.rowStride >= (a.isTransposed ? rows : inner), "row stride of A below its row length")
        precondition(
            b.rowStride >= (b.isTransposed ? inner : columns), "row stride of B below its row length")
        precondition(cRowStride >= columns, "row stride of C below its row length")
    }
}

extension MatrixProduct {
    /// The part of the product that makes these rows and columns of C.
    func part(rows rowRange: Range<Int>, columns columnRange: Range<Int>) -> MatrixProduct {
        var part = self
        part.rows = rowRange.count
        part.columns = columnRange.count
        part.a = a.dropping(rowRange.lowerBound, ofRows: true)
        part.b = b.dropping(columnRange.lowerBound, ofRows: false)
        part.c = c + rowRange.lowerBound * cRowStride + columnRange.lowerBound
        return part
    }

    /// Rows and columns of C in one tile, from the shape alone.
    ///
    /// The library packs the factors anew for each tile: edges of 512 cost 5% of the speed, 256 8%, 128 16%,
    /// 64 28%. Tiles are of 512, less down to 128 where that leaves fewer than 8 of them; a product too small
    /// to repay waking a thread is one tile.
    var tileShape: (rows: Int, columns: Int) {
        var (tileRows, tileColumns) = (max(rows, 1), max(columns, 1))
        let multiplications = Double(rows) * Double(columns) * Double(inner)
        guard multiplications >= 0x1p21 else { return (tileRows, tileColumns) }
        tileRows = min(tileRows, 512)
        tileColumns = min(tileColumns, 512)
        while Self.pieces(rows, tileRows) * Self.pieces(columns, tileColumns) < 8,
            max(tileRows, tileColumns) >= 256
        {
            if tileRows >= tileColumns {
                tileRows = Self.half(tileRows)
            } else {
                tileColumns = Self.half(tileColumns)
            }
        }
        return (tileRows, tileColumns)
    }

    /// How many tiles of `edge` cover `length`.
    static func pieces(_ length: Int, _ edge: Int) -> Int { (length + edge - 1) / edge }

    /// Half of `edge`, rounded up to what the library's kernels compute at a time.
    private static func half(_ edge: Int) -> Int { (edge / 2 + 15) / 16 * 16 }
}
