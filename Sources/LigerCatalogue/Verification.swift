package import LigerRuntime
package import Tile

/// Walks an operation over the grid of sizes.
package enum Verification {
    /// The point and quantity that came closest to its bound, or exceeded it most.
    package struct Worst: Sendable {
        package let point: CheckCase
        package let result: CheckResult
    }

    /// Rows and columns around vectors (16 lanes), blocks and batches (512), and 1, 2, 3, which catch lanes
    /// that do not exist; a row longer than any block's registers or shared memory; row counts that no program count divides.
    package static let grid: [(rows: Int, columns: Int)] = [
        (1, 1), (3, 2), (5, 3), (37, 15), (8, 16), (33, 17), (7, 127), (4, 128), (5, 129), (65, 511),
        (2, 512), (3, 513), (2, 1025), (3, 4096), (1, 20_001), (2, 262_144),
    ]

    /// - Parameter columns: only the grid's points with rows so long; nil for all.
    package static func worst(
        of entry: CatalogueEntry, dtype: DType, seed: UInt64, device: Device = .cpu, columns: Set<Int>? = nil
    ) throws -> Worst {
        var worst: Worst?
        for (i, size) in grid.enumerated() where columns?.contains(size.columns) ?? true {
            let point = CheckCase(
                rows: size.rows, columns: size.columns, dtype: dtype, seed: seed &+ UInt64(i), device: device)
            for result in try entry.check(point) where worst.map({ isWorse(result, than: $0.result) }) ?? true
            {
                worst = Worst(point: point, result: result)
            }
        }
        guard let worst else {
            preconditionFailure("the grid has a point so long, and an operation checks at least one quantity")
        }
        return worst
    }

    private static func isWorse(_ a: CheckResult, than b: CheckResult) -> Bool {
        badness(a) > badness(b)
    }

    /// Above 1 for a result that does not pass. A bound of 0 allows nothing.
    private static func badness(_ result: CheckResult) -> Double {
        if result.bound > 0 && result.error.isFinite { return result.error / result.bound }
        return result.passes ? 0 : .infinity
    }
}
