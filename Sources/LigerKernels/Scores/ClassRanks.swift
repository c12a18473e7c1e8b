package import LigerRuntime

/// Ranks of which each has a run of a layer's classes.
package protocol ClassRanks {
    var rank: Int { get }
    var count: Int { get }
    /// Gives every rank the rows of all others: [ranks, n], contiguous; each has its own row, and gets the rest. All call
    /// it in the same order.
    func gather(rows: NDArray) throws
}

extension ClassRanks {
    /// What each rank has found, [ranks] + its shape, by rank; contiguous, of one shape on all.
    package func gathered(_ own: NDArray) throws -> NDArray {
        let all = try NDArray(empty: [count] + own.shape, dtype: own.dtype, device: own.device)
        try own.copyBytes(to: all.sliced(0, rank..<rank + 1).reshaped(own.shape))
        try gather(rows: all.reshaped([count, own.count]))
        return all
    }
}
