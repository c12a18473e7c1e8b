import Tile

/// ce = log(sum(exp(x))) - x[t] and tvd = sum|q - p| / 2 of a row, from m = max and s = sum(exp(. - m)) of both's
/// logits; one program a row.
struct CrossEntropyTVDForward: TileKernel {
    let classes: Int
    let student: DType
    let teacher: DType
    let labels: DType
    let ignoreIndex: Int

    func body(_ p: Program) {
        let x = p.input("student", student, rank: 2), z = p.input("teacher", teacher, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let crossEntropy = p.output("cross entropy", .f32, rank: 1)
        let variation = p.output("total variation", .f32, rank: 1)
        let statistics = p.output("statistics", .f32, rank: 2)
        let row = p.index, c = p.range(classes), label = labels[row]

        let known = p.checkedLabel(label, classes: classes, ignoreIndex: ignoreIndex)
        p.when(label != ignoreIndex) {
            let a = x[row, c], b = z[row, c]
            let (m, s) = maxAndSumExp(a), (n, t) = maxAndSumExp(b)
            let distance = abs(decay(a - m) * (1 / s) - decay(b - n) * (1 / t))
            crossEntropy[row] = (m - x[row, known]) + log(s)
            variation[row] = sum(distance) * 0.5
            for (place, value) in [m, s, n, t].enumerated() { statistics[row, place] = value }
        }
        p.when(label == ignoreIndex) {
            let zero = (row * 0).float
            crossEntropy[row] = zero
            variation[row] = zero
            for place in 0..<4 { statistics[row, place] = zero }
        }
    }
}

/// dx = dce (q - onehot(t)) + dtvd q (s - sum(s q)) with s half the sign of q - p; one program a row.
struct CrossEntropyTVDBackward: TileKernel {
    let classes: Int
    let student: DType
    let teacher: DType
    let labels: DType
    let ignoreIndex: Int

    func body(_ p: Program) {
        let x = p.input("student", student, rank: 2), z = p.input("teacher", teacher, rank: 2)
        let labels = p.input("labels", labels, rank: 1, as: Int.self)
        let dce = p.input("dce", .f32, rank: 1), dtvd = p.input("dtvd", .f32, rank: 1)
        let statistics = p.input("statistics", .f32, rank: 2)
        let dx = p.output("dx", student, rank: 2)
        let row = p.index, c = p.range(classes), label = labels[row]

        p.when(label != ignoreIndex) {
            let q = decay(x[row, c] - statistics[row, 0]) * (1 / statistics[row, 1])
            let difference = q - decay(z[row, c] - statistics[row, 2]) * (1 / statistics[row, 3])
            let half = select(difference == 0, 0, select(difference > 0, 0.5, difference * 0 - 0.5))
            let mass = dce[row] + dtvd[row] * (half - sum(half * q))
            let g = q * mass
            dx[row, c] = select(c.index == label.int32, g - dce[row], g)
        }
        p.when(label == ignoreIndex) { dx[row, c] = p.full(c, 0) }
    }
}
