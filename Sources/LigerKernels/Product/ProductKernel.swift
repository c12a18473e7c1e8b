package import Tile

/// y = x w^T: each row of x times each row of w, rounded once; one program a row and block of columns.
package struct ProductKernel: TileKernel {
    package let dtype: DType
    /// Columns of a block.
    package let width: Int

    package init(dtype: DType, width: Int = 256) {
        (self.dtype, self.width) = (dtype, width)
    }

    package func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), w = p.input("w", dtype, rank: 2)
        let y = p.output("y", dtype, rank: 2)
        let c = p.blockOfRows(of: w, width: width)
        y[p.index, c] = product(x.row(p.index), w.rows(c))
    }
}
