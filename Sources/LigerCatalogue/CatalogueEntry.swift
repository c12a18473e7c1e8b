package import Tile

/// An operation as the command line knows it: what it is, its kernels to look at, how to time it and how
/// to check it.
package struct CatalogueEntry: Sendable {
    /// The name used on the command line.
    package let name: String
    /// The formula, in one line.
    package let summary: String
    /// A representative of each of its kernels.
    package let kernels: [any TileKernel]
    /// What `bench` runs; nil where timing makes no sense alone.
    package let workload: (@Sendable (BenchmarkSize) throws -> Workload)?
    /// What `verify` runs, per storage type and row length.
    package let check: @Sendable (CheckCase) throws -> [CheckResult]

    package init(
        name: String, summary: String, kernels: [any TileKernel],
        workload: (@Sendable (BenchmarkSize) throws -> Workload)?,
        check: @escaping @Sendable (CheckCase) throws -> [CheckResult]
    ) {
        self.name = name
        self.summary = summary
        self.kernels = kernels
        self.workload = workload
        self.check = check
    }
}

/// Shapes to time.
package struct BenchmarkSize: Sendable {
    package var rows = 2048
    package var columns = 4096
    package var vocabulary = 32_000
    package var dtype = DType.f32

    package init() {}
}

/// One thing to time, forward and backward together.
package struct Workload {
    /// `2048x4096 f32`.
    package let shape: String
    /// The least bytes that must move: each input read once, each output written once.
    package let floorBytes: Int
    package let run: () throws -> Void

    package init(shape: String, floorBytes: Int, run: @escaping () throws -> Void) {
        self.shape = shape
        self.floorBytes = floorBytes
        self.run = run
    }
}

/// One point of the grid that `verify` walks.
package struct CheckCase: Sendable {
    package let rows: Int
    package let columns: Int
    package let dtype: DType
    package let seed: UInt64
}

/// A quantity compared with its reference in Double.
package struct CheckResult: Sendable {
    /// Such as `dx`.
    package let quantity: String
    /// The largest difference relative to the scale of the terms.
    package let error: Double
    /// What the storage type and the number of terms allow.
    package let bound: Double

    package init(quantity: String, error: Double, bound: Double) {
        self.quantity = quantity
        self.error = error
        self.bound = bound
    }

    package var passes: Bool { error <= bound }
}
