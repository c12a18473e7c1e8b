import CCUDA
import LigerArrays
import LigerGPU
import Tile

extension ColumnMajorProduct {
    /// Hands the product to the current stream.
    ///
    /// - Throws: `RuntimeError` if there is no cuBLASLt or it fails.
    func run(
        _ product: Multiplication, _ products: CUDAProductCache, _ memory: MemoryPool, _ context: CUDAContext
    ) throws {
        let (a, b, c) = (product.a, product.b, product.c)
        if try isDone(product, context.gpu) { return }
        try context.gpu.throwKept()
        let library = try products.library()
        let stream = try context.stream()
        // The library's first product takes memory, as ours does for its workspace.
        try context.gpu.useOutsideCaptures {
            let addresses = CUDAProductPlan.Addresses(
                first: b.address, second: a.address, scaleOfFirst: b.scale, scaleOfSecond: a.scale,
                addend: c.address, result: c.address,
                workspace: try products.workspace(stream, memory))
            let beta: Float = accumulates ? 1 : 0
            let handle = try products.handle(library)
            let choice = try products.choice(
                for: self, addresses, library,
                wantsSmallTiles: waitsForItsResult && context.properties.target == Self.measuredTarget,
                isCapturing: try stream.isCapturing()
            ) { plan, algorithm in
                try time(plan, algorithm, addresses, c, handle, stream, memory, context)
            }
            try library.check(
                choice.plan.run(
                    addresses, alpha: product.alpha, beta: beta, algorithm: choice.algorithm, handle: handle,
                    stream: stream),
                "\(self) on cuda:\(context.properties.ordinal)")
        }
    }

    /// Whether much of the time is taken by reading and writing sums that no cache holds: of f32, from factors of half
    /// that size, each of few terms. A weight's gradient that chunks of tokens add to is such.
    ///
    /// Small tiles move theirs while others multiply. The library's favourite is chosen as if nothing were added: for
    /// 75,968 x 2,048 sums of 2,048 terms it took 1.2 ms on an H200, the smallest tiles it suggests 0.94.
    private var waitsForItsResult: Bool {
        result.dtype == .f32 && first.dtype != .f32 && inner <= 4096 && count == 1
            && result.rows * result.columns >= 16 << 20
    }

    /// Where that was measured: Hopper.
    private static let measuredTarget = 90

    /// Milliseconds of the fastest of a few runs into memory of its own; nil if the algorithm fails.
    private func time(
        _ plan: CUDAProductPlan, _ algorithm: cublasLtMatmulAlgo_t, _ addresses: CUDAProductPlan.Addresses,
        _ c: MatrixOperand, _ handle: cublasLtHandle_t?, _ stream: GPUStream, _ memory: MemoryPool,
        _ context: CUDAContext
    ) throws -> Float? {
        let elements = (count - 1) * c.batchStride + (c.rows - 1) * c.rowStride + c.columns
        let span = elements * c.dtype.byteCount
        let scratch = try memory.allocate(span)
        defer { memory.release(scratch) }
        let apart = CUDAProductPlan.Addresses(
            first: addresses.first, second: addresses.second, scaleOfFirst: addresses.scaleOfFirst,
            scaleOfSecond: addresses.scaleOfSecond, addend: addresses.addend,
            result: scratch.address, workspace: addresses.workspace)
        let (start, end) = (try GPUEvent(on: context.gpu), try GPUEvent(on: context.gpu))
        var best: Float?
        for repetition in 0..<4 {
            try start.record(in: stream)
            let status = plan.run(
                apart, alpha: 1, beta: accumulates ? 1 : 0, algorithm: algorithm, handle: handle,
                stream: stream)
            if status != CUBLAS_STATUS_SUCCESS { return nil }
            try end.record(in: stream)
            try end.synchronize()
            // The first run loads the algorithm's code.
            if repetition > 0 {
                let time = try end.milliseconds(since: start)
                best = min(best ?? time, time)
            }
        }
        return best
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
