package import LigerArrays
package import Tile
import TileCPU

/// This machine's processor. All work is done when a call returns.
package final class CPUBackend: Backend {
    package let traits: DeviceTraits
    package let memory = MemoryPool(HostMemory())
    private let kernels = KernelCache()

    package init(name: String = "cpu") {
        traits = DeviceTraits(
            name: name, isGPU: false, isHost: true, blockAlignment: 64, vectorBytes: 1, multipliesFloat8: true
        )
    }

    package func allocate(_ byteCount: Int) throws -> MemoryBlock { try memory.allocate(byteCount) }

    package func release(_ block: MemoryBlock) { memory.release(block) }

    package func clear(_ target: MemoryView) {
        target.address.initializeMemory(as: UInt8.self, repeating: 0, count: target.byteCount)
    }

    package func copy(_ source: MemoryView, to target: MemoryView) {
        HostCopy.run(source.address, to: target.address, bytes: target.byteCount)
    }

    package func copy(_ source: MemoryView, of other: any Backend, to target: MemoryView) throws {
        try other.copyOut(
            source, to: UnsafeMutableRawBufferPointer(start: target.address, count: target.byteCount))
    }

    package func copyIn(_ source: UnsafeRawBufferPointer, to target: MemoryView) {
        if let base = source.baseAddress { HostCopy.run(base, to: target.address, bytes: source.count) }
    }

    package func copyOut(_ source: MemoryView, to target: UnsafeMutableRawBufferPointer) {
        if let base = target.baseAddress { HostCopy.run(source.address, to: base, bytes: target.count) }
    }

    package func kernel(_ kernel: some TileKernel, for views: [MemoryView]) throws -> any LoadedKernel {
        try kernels.kernel(kernel, layouts: views.map { $0.layout.code }) { function, signature in
            let unknown = ViewLayout(hasUnitStride: false, outgrowsCache: false)
            let layouts = views.map(\.layout).padded(to: function.views.count, with: unknown)
            return CPUKernel(Plan(function, layouts: layouts), signature)
        }
    }

    /// A batch's products are spread over the threads, or each of them is where they are fewer than threads; the bits
    /// are the same.
    package func multiply(_ product: Multiplication) throws {
        let (blas, pool, memory) = (try BLAS.load(), ThreadPool.shared, memory)
        if product.count < pool.threadCount {
            for index in 0..<product.count {
                try PanelProduct(product.product(index)).run(blas, memory: memory, pool: pool)
            }
            return
        }
        let alone = ThreadPool(threadCount: 1)
        // The products read the factors and write matrices that lie apart.
        nonisolated(unsafe) let product = product
        try pool.forEachThrowing(product.count) {
            try PanelProduct(product.product($0)).run(blas, memory: memory, pool: alone)
        }
    }

    package func synchronize() {}

    package func withStream(_ stream: UInt, _ body: () throws -> Void) throws { try body() }

    package func run(
        _ steps: [any PreparedStep], _ addresses: UnsafePointer<UInt>, stream: UInt
    ) throws {
        for step in steps { try step.run(addresses, stream: stream) }
    }

    package func capture(_ work: () throws -> Void) throws -> any CapturedWork {
        throw RuntimeError("work of \(traits.name) cannot be captured. Do it step by step")
    }

    package func seconds(_ work: () throws -> Void) throws -> Double {
        try ContinuousClock().measure { try work() } / .seconds(1)
    }

    /// Nothing fails here without being thrown at once.
    package func keep(_ error: any Error) {}

    package func partialSums(rowLength: Int) -> Int { 32 }

    package func workspaceBytes(_ product: Multiplication) -> Int {
        let threads = ThreadPool.shared.threadCount
        if product.count < threads { return PanelProduct(product).workspaceBytes(threads: threads) }
        return threads * PanelProduct(product).workspaceBytes(threads: 1)
    }

    package func driverMemory() -> (free: Int, total: Int)? { nil }

    package var compilations: [Compilation] { [] }

    package var launches: [String: Int] { kernels.launches }
}

extension MemoryView {
    /// What a plan may rely on.
    fileprivate var layout: ViewLayout {
        ViewLayout(hasUnitStride: strides.last == 1, outgrowsCache: byteCount >= 16 << 20)
    }
}

extension ViewLayout {
    fileprivate var code: UInt8 { (hasUnitStride ? 1 : 0) | (outgrowsCache ? 2 : 0) }
}

/// Copies of host memory.
private enum HostCopy {
    /// On all threads.
    static func run(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, bytes: Int) {
        // Pieces are disjoint, and the source is only read.
        nonisolated(unsafe) let (from, to) = (source, target)
        let piece = 1 << 20
        ThreadPool.shared.forEach((bytes + piece - 1) / piece) { i in
            let start = i * piece
            (to + start).copyMemory(from: from + start, byteCount: min(piece, bytes - start))
        }
    }
}
