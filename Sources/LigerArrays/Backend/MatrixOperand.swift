package import Tile

/// A matrix as it is stored: unit stride along one dimension, a row stride along the other.
package struct MatrixOperand {
    package var address: UnsafeMutableRawPointer
    package let dtype: DType
    /// Sizes after op.
    package let rows: Int
    package let columns: Int
    /// Elements from one row to the next as the matrix is stored.
    package let rowStride: Int
    package let isTransposed: Bool
    /// Elements to the same place in the next matrix of a batch; 0 where every product takes this one.
    package var batchStride = 0
    /// Of a factor in 8-bit floats: one f32 of the device, which its elements are multiplied by.
    package var scale: UnsafeMutableRawPointer?

    package init(
        address: UnsafeMutableRawPointer, dtype: DType, rows: Int, columns: Int, rowStride: Int,
        isTransposed: Bool
    ) {
        self.address = address
        self.dtype = dtype
        self.rows = rows
        self.columns = columns
        self.rowStride = rowStride
        self.isTransposed = isTransposed
    }

    /// The address of an element, counted as the matrix is stored.
    package func element(_ row: Int, _ column: Int) -> UnsafeMutableRawPointer {
        address + (row * rowStride + column) * dtype.byteCount
    }

    /// A matrix of the batch.
    package func matrix(_ index: Int) -> MatrixOperand {
        var matrix = self
        matrix.address += index * batchStride * dtype.byteCount
        return matrix
    }
}
