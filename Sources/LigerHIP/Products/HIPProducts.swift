import CHIP
import LigerArrays
import LigerGPU
import Synchronization
import Tile

/// The library's handle of a device, the workspace of each stream, and the algorithms chosen so far.
///
/// Owner: its ``HIPBackend``. Any thread may use it. The same product takes the same algorithm for the life of
/// the process, the library's favourite: nothing is timed.
final class HIPProducts: Sendable {
    private struct State: @unchecked Sendable {
        // Used under the lock; the library takes its handle on any thread.
        var handle: hipblasLtHandle_t?
        var plans: [ColumnMajorProduct: HIPProductPlan] = [:]
        /// Two products of one stream never overlap in time, so they share a workspace.
        var workspaces: [Int: MemoryBlock] = [:]
    }

    private let state = Mutex(State())
    private let given: HIPBLASLt?

    /// - Parameter library: nil for the one this machine has, loaded when needed.
    init(_ library: HIPBLASLt?) { given = library }

    /// Hands a product to the current stream.
    ///
    /// - Throws: `RuntimeError` if there is no hipBLASLt or it fails.
    func run(_ product: Multiplication, _ memory: MemoryPool, _ context: GPUContext) throws {
        let wanted = try ColumnMajorProduct(product)
        if try wanted.isDone(product, context) { return }
        try context.throwKept()
        let library = try given ?? HIPBLASLt.load()
        let stream = try context.stream()
        // The lock is held until the library has taken the work.
        nonisolated(unsafe) let handed = product
        // The library's first product takes memory, as ours does for its workspace.
        try context.useOutsideCaptures {
            try state.withLock { state in
                if state.handle == nil {
                    try library.check(library.create(&state.handle), "starting hipBLASLt")
                }
                let plan: HIPProductPlan
                if let known = state.plans[wanted] {
                    plan = known
                } else {
                    plan = try HIPProductPlan(wanted, library, handle: state.handle)
                    state.plans[wanted] = plan
                }
                let workspace =
                    try state.workspaces[stream.number] ?? memory.allocate(HIPProductPlan.workspaceBytes)
                state.workspaces[stream.number] = workspace
                try library.check(
                    plan.run(handed, workspace.address, handle: state.handle, stream: stream),
                    "\(wanted) on \(context.name)")
            }
        }
    }

    /// The library's version, which it tells to those that have a handle: `0.10.0`.
    func versionText(_ context: GPUContext) throws -> String {
        let library = try given ?? HIPBLASLt.load()
        return try context.use {
            try state.withLock { state in
                if state.handle == nil {
                    try library.check(library.create(&state.handle), "starting hipBLASLt")
                }
                var number: Int32 = 0
                try library.check(library.version(state.handle, &number), "asking for hipBLASLt's version")
                return "\(number / 100_000).\(number / 100 % 1000).\(number % 100)"
            }
        }
    }
}

/// Descriptors of a product and the algorithm chosen for it.
///
/// Owner: the device's ``HIPProducts``, for the life of the process. Any thread may use it: nothing in it changes.
final class HIPProductPlan: Sendable {
    static let workspaceBytes = 32 << 20

    // Handles that the library reads on any thread.
    private nonisolated(unsafe) let descriptor: hipblasLtMatmulDesc_t?
    private nonisolated(unsafe) let first: hipblasLtMatrixLayout_t?
    private nonisolated(unsafe) let second: hipblasLtMatrixLayout_t?
    private nonisolated(unsafe) let result: hipblasLtMatrixLayout_t?
    private let algorithm: hipblasLtMatmulAlgo_t
    private let library: HIPBLASLt

    init(_ product: ColumnMajorProduct, _ library: HIPBLASLt, handle: hipblasLtHandle_t?) throws {
        self.library = library
        func layout(_ matrix: ColumnMajorProduct.Matrix) throws -> hipblasLtMatrixLayout_t? {
            var layout: hipblasLtMatrixLayout_t?
            try library.check(
                library.createLayout(
                    &layout, matrix.dtype.hipType, UInt64(matrix.rows), UInt64(matrix.columns),
                    Int64(matrix.leadingDimension)), "describing a matrix")
            if product.count == 1 { return layout }
            var (count, stride) = (Int32(product.count), Int64(matrix.batchStride))
            try library.check(
                library.setLayout(layout, HIPBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, 4),
                "describing a batch of matrices")
            try library.check(
                library.setLayout(layout, HIPBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, 8),
                "describing a batch of matrices")
            return layout
        }
        var made: hipblasLtMatmulDesc_t?
        try library.check(
            library.createDescriptor(&made, HIPBLAS_COMPUTE_32F, HIP_R_32F), "describing a matrix product")
        for (attribute, matrix) in [
            (HIPBLASLT_MATMUL_DESC_TRANSA, product.first), (HIPBLASLT_MATMUL_DESC_TRANSB, product.second),
        ] {
            var operation: Int32 = matrix.isTransposed ? HIPBLAS_OP_T : HIPBLAS_OP_N
            try library.check(
                library.setDescriptor(made, attribute, &operation, 4), "describing a matrix product")
        }
        let layouts = (try layout(product.first), try layout(product.second), try layout(product.result))
        algorithm = try Self.favourite(product, library, handle, made, layouts)
        descriptor = made
        (first, second, result) = layouts
    }

    deinit {
        _ = library.destroyDescriptor(descriptor)
        for layout in [first, second, result] where layout != nil { _ = library.destroyLayout(layout) }
    }

    private static func favourite(
        _ product: ColumnMajorProduct, _ library: HIPBLASLt, _ handle: hipblasLtHandle_t?,
        _ descriptor: hipblasLtMatmulDesc_t?,
        _ layouts: (hipblasLtMatrixLayout_t?, hipblasLtMatrixLayout_t?, hipblasLtMatrixLayout_t?)
    ) throws -> hipblasLtMatmulAlgo_t {
        var preference: hipblasLtMatmulPreference_t?
        try library.check(library.createPreference(&preference), "asking for an algorithm")
        defer { _ = library.destroyPreference(preference) }
        var bytes = UInt64(workspaceBytes)
        try library.check(
            library.setPreference(preference, HIPBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, 8),
            "asking for an algorithm")
        var suggestion = hipblasLtMatmulHeuristicResult_t()
        var found: Int32 = 0
        try library.check(
            library.heuristic(
                handle, descriptor, layouts.0, layouts.1, layouts.2, layouts.2, preference, 1, &suggestion,
                &found), "choosing an algorithm for \(product)")
        guard found > 0, suggestion.state == HIPBLAS_STATUS_SUCCESS else {
            throw RuntimeError("hipBLASLt (\(library.path)) has no algorithm for \(product)", kind: .library)
        }
        return suggestion.algo
    }

    /// Hands the product to a stream. Returns the library's status.
    func run(
        _ product: Multiplication, _ workspace: UnsafeMutableRawPointer, handle: hipblasLtHandle_t?,
        stream: GPUStream
    ) -> hipblasStatus_t {
        var (alpha, beta, algorithm) = (product.alpha, product.accumulates ? Float(1) : 0, self.algorithm)
        // By columns the factors change places.
        return library.multiply(
            handle, descriptor, &alpha, product.b.address, first, product.a.address, second, &beta,
            product.c.address, result, product.c.address, result, &algorithm, workspace,
            Self.workspaceBytes, stream.handle)
    }
}

extension DType {
    /// The library's number of a floating-point type.
    fileprivate var hipType: hipDataType {
        switch self {
        case .bf16: HIP_R_16BF
        case .f16: HIP_R_16F
        default: HIP_R_32F
        }
    }
}
