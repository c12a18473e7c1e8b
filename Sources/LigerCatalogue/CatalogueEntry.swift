package import LigerRuntime
package import Tile

/// An operation as the command line knows it: what it is, its kernels to look at, how to time it and how
/// to check it.
package struct CatalogueEntry: Sendable {
    /// The name used on the command line.
    package let name: String
    /// The formula, in one line.
    package let summary: String
    /// What `bench` runs; nil where timing makes no sense alone.
    package let workload: (@Sendable (BenchmarkSize) throws -> Workload)?
    /// What `verify` runs, per storage type and row length.
    package let check: @Sendable (CheckCase) throws -> [CheckResult]
    /// Why it cannot be had for a storage type on a device; nil if it can.
    package let refusal: @Sendable (DType, Device) -> String?
    /// Other ways to the same results, which not every device has.
    package let alternatives: [CatalogueEntry]

    /// The kernels it launches for rows of 4,096 in bf16, in that order.
    package var kernels: [any TileKernel] {
        get throws {
            try LaunchRecorder.kernels {
                _ = try check(CheckCase(rows: 2, columns: 4096, dtype: .bf16, seed: 1))
            }
        }
    }

    package init(
        name: String, summary: String, workload: (@Sendable (BenchmarkSize) throws -> Workload)?,
        check: @escaping @Sendable (CheckCase) throws -> [CheckResult],
        refusal: @escaping @Sendable (DType, Device) -> String? = { _, _ in nil },
        alternatives: [CatalogueEntry] = []
    ) {
        self.name = name
        self.summary = summary
        self.workload = workload
        self.check = check
        self.refusal = refusal
        self.alternatives = alternatives
    }
}

/// Shapes to time.
package struct BenchmarkSize: Sendable {
    package var rows = 2048
    package var columns = 4096
    package var vocabulary = 32_000
    /// Inner size of products; nil takes an eighth of the columns, which a processor does in reasonable time.
    package var hidden: Int?
    package var dtype = DType.f32
    package var device = Device.cpu

    package init() {}

    func samples(seed: UInt64) -> Samples { Samples(seed: seed, device: device) }
}

/// One thing to time, forward and backward together.
package struct Workload {
    /// `2048x4096 f32`.
    package let shape: String
    /// The least bytes that must move: each input read once, each output written once.
    package let floorBytes: Int
    /// Bytes of the results that the caller asked for: not counted as memory that the work takes.
    package let resultBytes: Int
    package let run: () throws -> Void

    package init(
        shape: String, floorBytes: Int, resultBytes: Int = 0, run: @escaping () throws -> Void
    ) {
        self.shape = shape
        self.floorBytes = floorBytes
        self.resultBytes = resultBytes
        self.run = run
    }
}

/// One point of the grid that `verify` walks.
package struct CheckCase: Sendable {
    package let rows: Int
    package let columns: Int
    package let dtype: DType
    package let seed: UInt64
    package let device: Device

    package init(rows: Int, columns: Int, dtype: DType, seed: UInt64, device: Device = .cpu) {
        self.rows = rows
        self.columns = columns
        self.dtype = dtype
        self.seed = seed
        self.device = device
    }

    /// Values to check with, on the device.
    package var samples: Samples { Samples(seed: seed, device: device) }

    /// A quantity and its reference, with the bound for its storage type.
    ///
    /// - Parameters:
    ///   - terms: how many fp32 terms the longest sum has, beyond those of one row.
    ///   - roundings: how often a value is rounded to the storage type.
    ///   - scale: the size of the terms, where they can cancel.
    package func result(
        _ quantity: String, _ found: NDArray?, _ expected: [Double], terms: Int = 1,
        roundings: Double = 1, scale: Double? = nil
    ) -> CheckResult {
        let size = scale ?? expected.lazy.map { abs($0) }.max() ?? 0
        // Below its smallest normal number a type has steps of one size.
        let step = found?.dtype == .f16 ? 0x1p-25 / max(size, 0x1p-25) : 0
        let values = found?.doubles ?? []
        return CheckResult(
            quantity: quantity, error: relativeError(values, expected, scale: size),
            bound: errorBound(found?.dtype ?? dtype, terms: terms, roundings: roundings) + step,
            values: values)
    }
}

/// A quantity compared with its reference in Double.
package struct CheckResult: Sendable {
    /// Such as `dx`.
    package let quantity: String
    /// The largest difference relative to the scale of the terms.
    package let error: Double
    /// What the storage type and the number of terms allow.
    package let bound: Double
    /// What was found, where it was an array.
    package let values: [Double]

    package init(quantity: String, error: Double, bound: Double, values: [Double] = []) {
        self.quantity = quantity
        self.error = error
        self.bound = bound
        self.values = values
    }

    package var passes: Bool { error <= bound }
}
