import CCUDA
import LigerArrays
import Tile

/// A product as cuBLASLt takes it: columns side by side in memory, not rows.
///
/// A matrix stored by rows is its transpose stored by columns. So C = op(A) op(B) is asked for as
/// C' = op(B)' op(A)': B's memory comes first, A's second, each transposed just where our op transposes it,
/// and sizes of a matrix in memory change places. Nothing is copied.
struct ColumnMajorProduct: Hashable, Sendable {
    /// A matrix as it is stored, by columns.
    struct Matrix: Hashable, Sendable {
        let dtype: DType
        let rows: Int
        let columns: Int
        /// Elements from one column to the next.
        let leadingDimension: Int
        let isTransposed: Bool
        /// Elements to the next matrix of a batch.
        let batchStride: Int
        /// The largest power of two, at most 256, that divides every matrix's address.
        let alignment: UInt32

        init(_ operand: MatrixOperand) {
            dtype = operand.dtype
            rows = operand.isTransposed ? operand.rows : operand.columns
            columns = operand.isTransposed ? operand.columns : operand.rows
            leadingDimension = max(operand.rowStride, 1)
            isTransposed = operand.isTransposed
            batchStride = operand.batchStride
            let addresses = UInt(bitPattern: operand.address) | UInt(batchStride * dtype.byteCount)
            alignment = 1 << UInt32((addresses | 256).trailingZeroBitCount)
        }
    }

    let first: Matrix
    let second: Matrix
    let result: Matrix
    /// Length of the sums.
    let inner: Int
    /// Whether the product is added to what the result holds.
    let accumulates: Bool
    /// How many products of these sizes are done at once, a batch stride apart.
    let count: Int
    /// Whether sums of 8-bit factors may have fewer bits than fp32 has.
    let sumsFast: Bool

    /// - Throws: `RuntimeError` if the library takes no such types: both factors must be of one, and a 16-bit
    ///   product of the same or of f32. Factors with scales are of 8 bits, and fit as `MatMul` has checked.
    init(_ product: Multiplication) throws {
        let (a, b, c) = (product.a, product.b, product.c)
        guard a.scale != nil || (a.dtype == b.dtype && (c.dtype == a.dtype || c.dtype == .f32)) else {
            throw RuntimeError(
                "a matrix product on a GPU of \(a.dtype.rawValue) by \(b.dtype.rawValue) into "
                    + "\(c.dtype.rawValue). Both factors must be of one type, and the result of that or f32: "
                    + "cast one first")
        }
        first = Matrix(b)
        second = Matrix(a)
        result = Matrix(c)
        inner = a.columns
        accumulates = product.accumulates
        count = product.count
        sumsFast = product.sumsFast
    }
}

extension DType {
    /// The library's number of a floating-point type.
    var cudaType: cudaDataType_t {
        switch self {
        case .bf16: CUDA_R_16BF
        case .f16: CUDA_R_16F
        case .e4m3: CUDA_R_8F_E4M3
        case .e5m2: CUDA_R_8F_E5M2
        default: CUDA_R_32F
        }
    }
}
