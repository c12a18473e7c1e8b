import LigerRuntime
import Testing
import Tile
import TileEmulator
import TileGPU

/// Runs every launch on the CPU and, on copies of its arrays, on the emulator, and compares what both wrote.
struct EmulatedLaunch: LaunchObserver {
    /// Chooses the mapping to threads; nil for the one by rule.
    var schedule: (@Sendable (TileFunction, [GPULayout]) -> GPUSchedule)?
    /// What fp32 sums in another order may differ by, relative to the array's largest value.
    var tolerance = 2e-5
    var limits = GPULimits(sharedBytes: 227 << 10)

    func observe(
        _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
        run: () throws -> Void
    ) throws {
        let function = try TileFunction.trace(kernel)
        let copies = try arrays.map(Self.copy)
        try run()
        let layouts = copies.map(\.view).gpuLayouts
        // A product has a schedule of its own, and none for what tensor cores do not take.
        let isProduct = !function.products.isEmpty
        if isProduct && function.products.contains(where: { function.views[$0.a].dtype == .f32 }) { return }
        if isProduct && !limits.multiplies { return }
        let threads = try ThreadFunction(
            GPUPlan(
                function, layouts: layouts, schedule: isProduct ? nil : schedule?(function, layouts),
                limits: limits))
        let failure = try Emulator.run(
            threads, programs: programs,
            arrays: copies.map {
                EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
            }, scalars: scalars)
        #expect(failure == nil, "kernel \(kernel.name) failed a check on the emulator alone")
        for (i, view) in function.views.enumerated() where view.access != .input {
            let (found, expected) = (copies[i].doubles, arrays[i].doubles)
            let finite = expected.filter { $0.isFinite }.map { Swift.abs($0) }
            let bound = tolerance + 2 * (view.dtype == .f32 ? 0 : view.dtype.epsilon ?? 0)
            let allowed = bound * (finite.max() ?? 0) + 1e-30
            let worst =
                zip(found, expected).map { a, b in a == b || (a.isNaN && b.isNaN) ? 0 : abs(a - b) }
                .max() ?? 0
            #expect(
                worst <= allowed, "\(view.name) of \(kernel.name) \(kernel): \(worst), allowed \(allowed)")
        }
    }

    /// The same elements in memory of their own, strides kept.
    private static func copy(_ array: NDArray) throws -> NDArray {
        let span = zip(array.shape, array.strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
        let target = try NDArray(empty: [Swift.max(span, 1)], dtype: array.dtype)
        if array.count > 0 {
            target.address.copyMemory(from: array.address, byteCount: span * array.dtype.byteCount)
        }
        return NDArray(
            buffer: target.buffer, offset: 0, shape: array.shape, strides: array.strides,
            dtype: array.dtype)
    }
}
