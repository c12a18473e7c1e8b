package import LigerRuntime
package import Tile

/// Sums over rows, in fp32 and in an order fixed by their number and length.
package enum ColumnSum {
    /// - Parameter x: [rows, columns], f32, bf16 or f16.
    /// - Returns: [columns] in a storage type.
    package static func apply(_ x: NDArray, dtype: DType) throws -> NDArray {
        let sum = try NDArray(empty: [x.shape[1]], dtype: dtype, device: x.device)
        try apply(x, into: sum, accumulate: false)
        return sum
    }

    /// The sums of arrays of one shape, in one launch where that serves.
    ///
    /// - Parameter terms: each [rows, columns], and the storage type of its sums; nil is given back as nil.
    package static func apply(_ terms: [(x: NDArray, dtype: DType)?]) throws -> [NDArray?] {
        let sums = try terms.map {
            try $0.map { try NDArray(empty: [$0.x.shape[1]], dtype: $0.dtype, device: $0.x.device) }
        }
        let pairs = zip(terms, sums).compactMap { terms, sum in
            sum.flatMap { sum in terms.map { ($0.x, sum) } }
        }
        guard let (x, _) = pairs.first else { return sums }
        if pairs.count > 1, parts(of: x) == nil, TallColumnSum.suits(rows: x.shape[0], columns: x.shape[1]) {
            try TallColumnSum(pairs, accumulates: false).launch(pairs)
        } else {
            for (x, sum) in pairs { try apply(x, into: sum, accumulate: false) }
        }
        return sums
    }

    /// - Parameters:
    ///   - sum: [columns]; what it holds comes first in the sum where `accumulate` is set.
    ///   - weights: [rows], f32: what each row is multiplied by; nil is 1.
    package static func apply(
        _ x: NDArray, weights: NDArray? = nil, into sum: NDArray, accumulate: Bool
    ) throws {
        let (rows, columns) = (x.shape[0], x.shape[1])
        if weights == nil, let parts = parts(of: x) {
            let first = try apply(x.reshaped([rows / parts, parts * columns]), dtype: .f32)
            return try apply(first.reshaped([parts, columns]), into: sum, accumulate: accumulate)
        }
        if TallColumnSum.suits(rows: rows, columns: columns) {
            return try TallColumnSum([(x, sum)], accumulates: accumulate, isWeighted: weights != nil).launch(
                [(x, sum)], weights: weights)
        }
        let blocks = (columns + ColumnSumKernel.block - 1) / ColumnSumKernel.block
        let kernel = ColumnSumKernel(
            terms: x.dtype, dtype: sum.dtype, accumulates: accumulate, isWeighted: weights != nil)
        try kernel.launch(programs: blocks, ["x": x, "sum": sum, "weights": weights])
    }
}

extension ColumnSum {
    /// How many partial sums are made first, the i-th over rows i, i + parts, i + 2 parts, ..., where columns alone give
    /// too few programs to occupy a GPU: so many rows side by side are one of a shorter array. Nil where one launch does.
    private static func parts(of x: NDArray) -> Int? {
        let parts = 32
        return x.shape[0] >= 1024 && x.shape[0] % parts == 0 && x.shape[1] <= 512 && x.isContiguous
            ? parts : nil
    }
}

/// sum[c] = x[0, c] + x[1, c] + ..., or each row times its weight; one program a block of columns.
struct ColumnSumKernel: TileKernel {
    static let block = 512
    let terms: DType
    let dtype: DType
    let accumulates: Bool
    let isWeighted: Bool

    func body(_ p: Program) {
        let x = p.input("x", terms, rank: 2)
        let sum = accumulates ? p.update("sum", dtype, rank: 1) : p.output("sum", dtype, rank: 1)
        let weights = isWeighted ? p.input("weights", .f32, rank: 1) : nil
        let c = p.range(from: p.index * Self.block, capacity: Self.block, limit: x.size(1))
        let first = accumulates ? sum[c] : p.full(c, 0)
        sum[c] = p.loop(from: p.index * 0, to: x.size(0), carrying: first) { row, total in
            total + (weights.map { x[row, c] * $0[row] } ?? x[row, c])
        }
    }
}

/// sum[c] = x[0, c] + x[1, c] + ... where there are rows enough to occupy a program; one program a few columns, its lanes
/// along the rows, so that accesses to a row are coalesced.
struct TallColumnSum: TileKernel {
    static let group = 8
    private static let rows = NumberedViews("x"), totals = NumberedViews("sum")
    /// The storage types of each array's terms and sums.
    let terms: [DType]
    let sums: [DType]
    let accumulates: Bool
    let isWeighted: Bool
    /// The most rows.
    let capacity: Int
    /// Whether the last program has fewer columns.
    let isRagged: Bool

    init(_ arrays: [(x: NDArray, sum: NDArray)], accumulates: Bool, isWeighted: Bool = false) {
        terms = arrays.map(\.x.dtype)
        sums = arrays.map(\.sum.dtype)
        self.accumulates = accumulates
        self.isWeighted = isWeighted
        capacity = LigerKernels.capacity(for: arrays[0].x.shape[0], atLeast: 256)
        isRagged = arrays[0].x.shape[1] % Self.group != 0
    }

    func launch(_ arrays: [(x: NDArray, sum: NDArray)], weights: NDArray? = nil) throws {
        let terms = Self.rows.named(arrays.map(\.x)), sums = Self.totals.named(arrays.map(\.sum))
        try launch(
            programs: (arrays[0].x.shape[1] + Self.group - 1) / Self.group,
            LaunchArrays(terms + sums + [("weights", weights)]))
    }

    /// Programs of other sums, one for 512 columns, go from row to row: where they are few they wait for each.
    static func suits(rows: Int, columns: Int) -> Bool {
        rows >= 32 && rows <= 1 << 14 && columns < max(64 * rows, 1 << 17)
    }

    func body(_ p: Program) {
        let x = terms.enumerated().map { p.input(Self.rows[$0], $1, rank: 2) }
        let out = sums.enumerated().map { i, dtype in
            let name = Self.totals[i]
            return accumulates ? p.update(name, dtype, rank: 1) : p.output(name, dtype, rank: 1)
        }
        let weights = isWeighted ? p.input("weights", .f32, rank: 1) : nil
        let r = p.range(capacity: capacity, limit: x[0].size(0))
        for step in 0..<Self.group {
            let own = p.index * Self.group + step, columns = x[0].size(1)
            // A column that is not there is the last one once more, which nobody stores.
            let c = isRagged ? minimum(own, columns - 1) : own
            for (x, out) in zip(x, out) {
                let total = sum(weights.map { x[r, c] * $0[r] } ?? x[r, c])
                func store() { out[c] = accumulates ? out[c] + total : total }
                if isRagged { p.when(own < columns, store) } else { store() }
            }
        }
    }
}
