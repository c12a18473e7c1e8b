import Synchronization
package import Tile

/// A device's compiled kernels, by kernel value and by what of its views' layouts the code relies on.
package final class KernelCache: Sendable {
    private struct Key: Hashable, @unchecked Sendable {
        // Kernels are Sendable and Hashable by their protocol; AnyHashable only forgets the former.
        let kernel: AnyHashable
        let layouts: [UInt8]
    }

    private let known = Mutex<[Key: any LoadedKernel]>([:])
    private let counters = LaunchCounters()

    package init() {}

    /// Launches so far, by kernel name.
    package var launches: [String: Int] { counters.all }

    /// - Parameters:
    ///   - layouts: one a view, in numbers that mean what the device wants them to.
    ///   - load: compiles what is not known yet. Two threads may do so at once; the later one's stays.
    package func kernel(
        _ kernel: some TileKernel, layouts: [UInt8],
        load: (TileFunction, KernelSignature) throws -> any LoadedKernel
    ) throws -> any LoadedKernel {
        let key = Key(kernel: AnyHashable(kernel), layouts: layouts)
        if let loaded = known.withLock({ $0[key] }) { return loaded }
        let function = try TileFunction.trace(kernel)
        let signature = KernelSignature(
            name: kernel.name, views: function.views, scalars: function.scalars,
            counter: counters.counter(kernel.name))
        let loaded = try load(function, signature)
        known.withLock { $0[key] = loaded }
        return loaded
    }
}

extension Array {
    /// The layouts of a kernel's views. Where fewer arrays were given than it declares, layouts are made up, so that
    /// the check that follows can name every misfit.
    package func padded(to count: Int, with last: Element) -> [Element] {
        self + Array(repeating: last, count: Swift.max(0, count - self.count))
    }
}
