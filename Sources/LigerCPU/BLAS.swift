/// Matrix products by OpenBLAS (Accelerate on a Mac), split over threads.
///
/// The library runs each tile on one thread, and tiles are cut by the shape of the product alone, so the
/// same product gives the same bits whatever the number of threads.
package struct BLAS: Sendable, CustomStringConvertible {
    private let library: BLASLibrary

    package init(library: BLASLibrary) { self.library = library }

    /// The library, loaded on first use. Throws ``BLASError`` when there is none.
    package static func load() throws(BLASError) -> BLAS {
        if let replacement { return replacement }
        return try loaded.get()
    }

    /// What tests have in the place of the library, whose bits depend on where in a product a row lies: OpenBLAS's kernels
    /// for AVX2 take a row's last terms in another order where it lies elsewhere.
    @TaskLocal package static var replacement: BLAS?

    private static let loaded = Result<BLAS, BLASError> { () throws(BLASError) in
        BLAS(library: try BLASLibrary.load())
    }

    /// The file in use and what the library says of itself.
    package var description: String {
        ([library.path]
            + [library.configuration, library.coreName.map { "core type \($0)" }].compactMap(\.self))
            .joined(separator: ", ")
    }

    /// Computes `product` in tiles over `pool`.
    package func gemm(_ product: MatrixProduct, pool: ThreadPool = .shared) {
        product.checkShape()
        let tile = product.tileShape
        let across = MatrixProduct.pieces(product.columns, tile.columns)
        // Tiles write disjoint parts of C and only read A and B.
        nonisolated(unsafe) let product = product
        pool.forEach(MatrixProduct.pieces(product.rows, tile.rows) * across) { index in
            let (row, column) = (index / across * tile.rows, index % across * tile.columns)
            let rows = row..<min(row + tile.rows, product.rows)
            let columns = column..<min(column + tile.columns, product.columns)
            gemmSerial(product.part(rows: rows, columns: columns))
        }
    }

    /// Computes `product` on the calling thread.
    package func gemmSerial(_ product: MatrixProduct) {
        product.checkShape()
        guard product.rows > 0, product.columns > 0 else { return }
        let (rowMajor, plain, transposed): (Int32, Int32, Int32) = (101, 111, 112)
        library.multiply(
            rowMajor, product.a.isTransposed ? transposed : plain,
            product.b.isTransposed ? transposed : plain,
            Int32(product.rows), Int32(product.columns), Int32(product.inner), product.alpha,
            product.a.elements, Int32(max(product.a.rowStride, 1)), product.b.elements,
            Int32(max(product.b.rowStride, 1)), product.beta, product.c, Int32(max(product.cRowStride, 1)))
    }
}
