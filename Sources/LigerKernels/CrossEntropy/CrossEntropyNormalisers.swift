import LigerRuntime
import Tile

/// What the rows of a cross entropy are divided by, computed on the device.
struct CrossEntropyNormalisers {
    /// [2], f32: what a row's cross entropy and its z-loss are multiplied by.
    let shares: NDArray
    /// [1], f32: how many rows count.
    let count: NDArray
    /// [1], f32: the sum of the class weights.
    let weightSum: NDArray?

    /// 32-bit numbers per row, while rows are counted.
    static let arraysPerRow = 2

    /// Checks all labels, counts, and divides.
    init(
        labels: NDArray, classes: Int, classWeights: NDArray?, options: CrossEntropy.Options, given: NDArray?,
        device: Device
    ) throws {
        let rows = labels.count
        let isMean = options.reduction == .mean
        let counted = try NDArray(empty: [rows], device: device)
        let weights = isMean && given == nil ? classWeights : nil
        let rowWeights = try weights.map { _ in try NDArray(empty: [rows], device: device) }
        try CrossEntropyLabels(
            labels: labels.dtype, weights: weights?.dtype, classes: classes, ignoreIndex: options.ignoreIndex
        ).launch(
            programs: rows,
            ["labels": labels, "counted": counted, "weights": weights, "row weights": rowWeights])

        count = try Total.apply(counted).flattened
        let divisor = try rowWeights.map { try Total.apply($0).flattened } ?? given?.flattened ?? count
        shares = try NDArray(empty: [2], device: device)
        try CrossEntropyShares(isMean: isMean).launch(
            programs: 1,
            ["divisor": divisor, "z divisor": given?.flattened ?? count, "shares": shares])
        weightSum = try classWeights.map { try Total.apply($0).flattened }
    }
}

/// 1 for a row that counts, else 0, and its weight; one program a row. Refuses labels that are no class.
struct CrossEntropyLabels: TileKernel {
    let labels: DType
    let weights: DType?
    let classes: Int
    let ignoreIndex: Int

    func body(_ p: Program) {
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let counted = p.output("counted", .f32, rank: 1)
        let weights = weights.map {
            (ofClass: p.input("weights", $0, rank: 1), ofRow: p.output("row weights", .f32, rank: 1))
        }
        let row = p.index, label = labels[row]
        let known = p.checkedLabel(label, classes: classes, ignoreIndex: ignoreIndex)
        let one = (label != ignoreIndex).float
        counted[row] = one
        if let weights { weights.ofRow[row] = one * weights.ofClass[known] }
    }
}

/// 1 / divisor, or 1 where rows are not averaged; nothing to divide by gives 0. One program.
struct CrossEntropyShares: TileKernel {
    let isMean: Bool

    func body(_ p: Program) {
        let divisors = [p.input("divisor", .f32, rank: 1), p.input("z divisor", .f32, rank: 1)]
        let shares = p.output("shares", .f32, rank: 1)
        for (i, view) in divisors.enumerated() {
            let divisor = view[0]
            shares[i] = isMean ? select(divisor == 0, 0, 1 / divisor) : (p.index + 1).float
        }
    }
}
