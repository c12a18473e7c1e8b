import LigerKernels
import Tile

/// Loss of one token against a teacher, and its gradient over the student's logits; one program a row.
struct DistillationRows: TileKernel {
    let formula: FusedLinearDistillation.Formula
    let classes: Int
    /// No less than the student's.
    let teacherClasses: Int
    let student: DType
    let teacher: DType
    let labels: DType?
    let ignoreIndex: Int
    let temperature: Float
    let hardWeight: Float
    let hasHard: Bool
    let softWeight: Float
    let hasGradient: Bool
    /// Whether rows of the gradient are divided by a scale each.
    let hasScales: Bool
    /// The type of an array that the gradient is written to; nil where it overwrites the student's logits.
    let separateGradient: DType?

    func body(_ p: Program) {
        let overwrites = hasGradient && separateGradient == nil
        let z = overwrites ? p.update("student", student, rank: 2) : p.input("student", student, rank: 2)
        let u = p.input("teacher", teacher, rank: 2), share = p.input("share", .f32, rank: 1)
        let losses = p.output("loss", .f32, rank: 1), softs = p.output("soft", .f32, rank: 1)
        let hards = hasHard ? p.output("hard", .f32, rank: 1) : nil
        let labels = labels.map { p.input("labels", $0, rank: 1, as: Int.self) }
        let scales = hasScales ? p.output("scales", .f32, rank: 1) : nil
        let written = separateGradient.map { p.output("gradient", $0, rank: 2) } ?? (overwrites ? z : nil)
        let row = p.index, c = p.range(classes)

        let known =
            hasHard
            ? labels.map { p.checkedLabel($0[row], classes: classes, ignoreIndex: ignoreIndex) } : nil

        let count = {
            let soft = soft(p, z, u)
            let value = soft.value * share[0]
            softs[row] = value
            var loss = value * softWeight
            var gradient = soft.gradient * (share[0] * softWeight)
            if hasHard, let label = known {
                let x = z[row, c], (m, s) = maxAndSumExp(x)
                let hard = ((m - z[row, label]) + log(s)) * share[0]
                hards?[row] = hard
                if hardWeight != 0 {
                    loss = loss + hard * hardWeight
                    let weight = share[0] * hardWeight
                    let g = gradient + decay(x - m) * (weight / s)
                    gradient = select(c.index == label.int32, g - weight, g)
                }
            }
            losses[row] = loss
            written?[row, c] = scales.map { overRowScale(gradient, $0, p) } ?? gradient
        }
        guard let label = labels?[row] else { return count() }
        p.when(label != ignoreIndex, count)
        p.when(label == ignoreIndex) {
            for view in [losses, softs, hards, scales] { view?[row] = (row * 0).float }
            written?[row, c] = p.full(c, 0)
        }
    }

    private typealias Soft = (value: Tile<Float>, gradient: Tile<Float>)

    private func soft(_ p: Program, _ z: View<Float>, _ u: View<Float>) -> Soft {
        switch formula {
        case .cosine(let beta): cosine(p, z, u, beta)
        case .jensenShannon(let beta): divergence(p, z, u, .jensenShannon(beta: beta), isLogits: true)
        case .kullbackLeibler(let eps): divergence(p, z, u, .kullbackLeibler(eps: eps), isLogits: false)
        }
    }

    /// With X = log softmax(z / T) and s the derivative of each entry by X: (s - e^X Σ s) / T.
    private func divergence(
        _ p: Program, _ z: View<Float>, _ u: View<Float>, _ formula: Divergence.Formula, isLogits: Bool
    ) -> Soft {
        let row = p.index, c = p.range(classes)
        let x = tempered(z[row, c]), tail = tailRange(p)
        let teacherShift = isLogits ? logSumExp(tempered(u[row, p.range(teacherClasses)])) : nil
        func y(_ axis: Axis) -> Tile<Float> {
            let given = u[row, axis]
            return teacherShift.map { (tempered(given) - $0.maximum) - $0.logSum } ?? given
        }
        var (m, s) = maxAndSumExp(x)
        if tail != nil {
            // The rest of the student's logits are 0.
            let larger = maximum(m, 0)
            s = s * exp(m - larger) + exp(-larger) * Float(teacherClasses - classes)
            m = larger
        }
        let logSum = log(s), logQ = (x - m) - logSum
        let (values, slopes) = formula.terms(logQ, y(c))
        var value = sum(values), slope = sum(slopes)
        if let tail {
            let rest = formula.terms(p.full(tail, 0) - m - logSum, y(tail))
            value = value + sum(rest.value)
            slope = slope + sum(rest.slope)
        }
        return (value, tempered(slopes - exp(logQ) * slope))
    }

    /// β (1 - cos) with cos = z u / (|z| |u|): the gradient is β (cos z / |z| - u / |u|) / |z|. 1 - cos is half of the
    /// square of z / |z| - u / |u|, of which no digits are lost where both are near; where a length counts as more than
    /// it is, what its row's square lacks to 1 belongs to it too.
    private func cosine(_ p: Program, _ z: View<Float>, _ u: View<Float>, _ beta: Float) -> Soft {
        let row = p.index, c = p.range(classes), least: Float = 1e-8
        let x = z[row, c], y = u[row, c], all = u[row, p.range(teacherClasses)]
        let length = maximum(sqrt(sum(x * x)), least), other = maximum(sqrt(sum(all * all)), least)
        func lack(_ squares: Tile<Float>, _ length: Tile<Float>) -> Tile<Float> {
            select(length > least, 0, 1 - squares / length / length)
        }
        let cos = sum(x * y) / length / other, scale = beta / length
        let distance = x * (1 / length) - y * (1 / other)
        var square = sum(distance * distance) + lack(sum(x * x), length) + lack(sum(all * all), other)
        if let tail = tailRange(p) {
            let rest = u[row, tail] * (1 / other)
            square = square + sum(rest * rest)
        }
        return (square * (beta / 2), x * (cos / length * scale) - y * (scale / other))
    }

    /// The teacher's classes that the student does not have.
    private func tailRange(_ p: Program) -> Axis? {
        teacherClasses > classes ? p.range(teacherClasses - classes) + classes : nil
    }

    private func logSumExp(_ x: Tile<Float>) -> (maximum: Tile<Float>, logSum: Tile<Float>) {
        let (m, s) = maxAndSumExp(x)
        return (m, log(s))
    }

    private func tempered(_ x: Tile<Float>) -> Tile<Float> { scaled(x, by: 1 / temperature) }
}
