import CCUDA
import LigerGPU
import Synchronization
import Tile

/// Descriptors of a product and the algorithm chosen for it.
///
/// Owner: the context's ``CUDAProductCache``, for the life of the process. Any thread may use it: nothing in it
/// changes once it is made, but for the places of scales, which the library reads from the descriptor: a lock is held from
/// setting them until the product is handed in.
final class CUDAProductPlan: Sendable {
    // Handles that the library reads on any thread.
    private nonisolated(unsafe) let descriptor: cublasLtMatmulDesc_t?
    private nonisolated(unsafe) let first: cublasLtMatrixLayout_t?
    private nonisolated(unsafe) let second: cublasLtMatrixLayout_t?
    private nonisolated(unsafe) let result: cublasLtMatrixLayout_t?
    private let library: CUBLASLt
    private let scales = Mutex(())

    static let workspaceBytes = 32 << 20

    init(_ product: ColumnMajorProduct, _ library: CUBLASLt, allowsTF32: Bool) throws {
        self.library = library
        func layout(_ matrix: ColumnMajorProduct.Matrix) throws -> cublasLtMatrixLayout_t? {
            var layout: cublasLtMatrixLayout_t?
            try library.check(
                library.createLayout(
                    &layout, matrix.dtype.cudaType, UInt64(matrix.rows), UInt64(matrix.columns),
                    Int64(matrix.leadingDimension)), "describing a matrix")
            if product.count == 1 { return layout }
            var (count, stride) = (Int32(product.count), Int64(matrix.batchStride))
            try library.check(
                library.setLayout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, 4),
                "describing a batch of matrices")
            try library.check(
                library.setLayout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, 8),
                "describing a batch of matrices")
            return layout
        }
        var made: cublasLtMatmulDesc_t?
        let type = allowsTF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F
        try library.check(library.createDescriptor(&made, type, CUDA_R_32F), "describing a matrix product")
        descriptor = made
        first = try layout(product.first)
        second = try layout(product.second)
        result = try layout(product.result)
        for (attribute, matrix) in [
            (CUBLASLT_MATMUL_DESC_TRANSA, product.first), (CUBLASLT_MATMUL_DESC_TRANSB, product.second),
        ] {
            var operation: Int32 = matrix.isTransposed ? CUBLAS_OP_T : CUBLAS_OP_N
            try library.check(
                library.setDescriptor(made, attribute, &operation, 4), "describing a matrix product")
        }
        if product.first.dtype.isFloat8 {
            var sumsFast: Int8 = product.sumsFast ? 1 : 0
            try library.check(
                library.setDescriptor(made, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &sumsFast, 1),
                "describing a product of 8-bit floats")
        }
    }

    deinit {
        _ = library.destroyDescriptor(descriptor)
        for layout in [first, second, result] where layout != nil { _ = library.destroyLayout(layout) }
    }

    /// Up to `count` algorithms, the library's favourite first.
    ///
    /// Only those that sum in one go, or in parts kept in fp32 and added in a fixed order: neither atomic sums,
    /// which change from run to run, nor parts rounded to the result's type.
    func suggestions(
        for product: ColumnMajorProduct, _ addresses: Addresses, count: Int, handle: cublasLtHandle_t?
    ) throws -> [cublasLtMatmulHeuristicResult_t] {
        var preference: cublasLtMatmulPreference_t?
        try library.check(library.createPreference(&preference), "asking for an algorithm")
        defer { _ = library.destroyPreference(preference) }
        func set(_ attribute: Int32, _ value: some FixedWidthInteger) throws {
            var value = value
            try library.check(
                library.setPreference(preference, attribute, &value, MemoryLayout.size(ofValue: value)),
                "asking for an algorithm")
        }
        try set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, UInt64(Self.workspaceBytes))
        try set(
            CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, UInt32(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE))
        try set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, product.first.alignment)
        try set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, product.second.alignment)
        try set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, product.result.alignment)
        try set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, product.result.alignment)
        var results = [cublasLtMatmulHeuristicResult_t](
            repeating: cublasLtMatmulHeuristicResult_t(), count: count)
        var found: Int32 = 0
        let status = scales.withLock { _ in
            let status = setScales(addresses)
            if status != CUBLAS_STATUS_SUCCESS { return status }
            return library.heuristic(
                handle, descriptor, first, second, result, result, preference, Int32(count), &results, &found)
        }
        try library.check(status, "choosing an algorithm for \(product)")
        return results.prefix(Int(found)).filter { $0.state == CUBLAS_STATUS_SUCCESS }
    }

    /// Where the matrices of one product lie.
    struct Addresses {
        let first: UnsafeRawPointer
        let second: UnsafeRawPointer
        /// Of factors in 8-bit floats: f32 numbers on the device.
        let scaleOfFirst: UnsafeRawPointer?
        let scaleOfSecond: UnsafeRawPointer?
        /// What is added, and where the sum goes; mostly the same.
        let addend: UnsafeRawPointer
        let result: UnsafeMutableRawPointer
        let workspace: UnsafeMutableRawPointer
    }

    /// Hands the product to a stream: result = alpha first second + beta addend. Returns the library's status.
    func run(
        _ addresses: Addresses, alpha: Float, beta: Float, algorithm: cublasLtMatmulAlgo_t,
        handle: cublasLtHandle_t?, stream: GPUStream
    ) -> cublasStatus_t {
        var (alpha, beta, algorithm) = (alpha, beta, algorithm)
        func multiply() -> cublasStatus_t {
            library.multiply(
                handle, descriptor, &alpha, addresses.first, first, addresses.second, second, &beta,
                addresses.addend, result, addresses.result, result, &algorithm, addresses.workspace,
                Self.workspaceBytes, stream.handle)
        }
        guard addresses.scaleOfFirst != nil else { return multiply() }
        return scales.withLock { _ in
            let status = setScales(addresses)
            return status == CUBLAS_STATUS_SUCCESS ? multiply() : status
        }
    }

    /// Under the lock.
    private func setScales(_ addresses: Addresses) -> cublasStatus_t {
        for (attribute, scale) in [
            (CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, addresses.scaleOfFirst),
            (CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, addresses.scaleOfSecond),
        ] {
            guard var scale else { continue }
            let status = library.setDescriptor(
                descriptor, attribute, &scale, MemoryLayout<UnsafeRawPointer>.size)
            if status != CUBLAS_STATUS_SUCCESS { return status }
        }
        return CUBLAS_STATUS_SUCCESS
    }
}
