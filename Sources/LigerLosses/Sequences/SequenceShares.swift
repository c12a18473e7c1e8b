import LigerKernels
import LigerRuntime
import Tile

/// What the parts of a loss over sequences are divided by, computed on the device.
enum SequenceShares {
    /// - Parameters:
    ///   - labels: [N, T].
    ///   - units: pairs or sequences, over which their losses are averaged.
    ///   - likely: labels whose tokens that count the likelihood is averaged over.
    ///   - totals: what to divide by instead, where these are a part of a batch.
    /// - Returns: [2], f32: 1 / units, or 0 where no token at all counts; and 1 / the likely tokens, or 0 where
    ///   there are none.
    static func make(
        labels: NDArray, units: Int, likely: NDArray, ignoreIndex: Int, totals: LossTotals?
    ) throws -> NDArray {
        let shares = try NDArray(empty: [2], device: labels.device)
        let all = try totals?.tokens ?? RowCount.apply(labels.flattened, ignoreIndex: ignoreIndex)
        let likely = try totals?.likely ?? RowCount.apply(likely.flattened, ignoreIndex: ignoreIndex)
        try SequenceSharesKernel(hasUnits: totals != nil).launch(
            programs: 1, ["all": all, "likely": likely, "shares": shares, "given units": totals?.units],
            scalars: ["units": .float(Float(units))])
        return shares
    }
}

/// One program.
struct SequenceSharesKernel: TileKernel {
    /// Whether units are given on the device.
    let hasUnits: Bool

    func body(_ p: Program) {
        let all = p.input("all", .f32, rank: 1), likely = p.input("likely", .f32, rank: 1)
        let shares = p.output("shares", .f32, rank: 1)
        let given = hasUnits ? p.input("given units", .f32, rank: 1) : nil
        let own = p.scalar("units"), units = given?[0] ?? own
        shares[0] = select(all[0] == 0, 0, 1 / units)
        shares[1] = select(likely[0] == 0, 0, 1 / likely[0])
    }
}

extension NDArray {
    /// The smallest power of two that is no less than a length, so that few kernels are compiled.
    static func capacity(_ length: Int) -> Int {
        var capacity = 1
        while capacity < length { capacity *= 2 }
        return capacity
    }
}
