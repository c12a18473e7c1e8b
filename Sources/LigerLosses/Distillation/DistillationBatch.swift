import LigerKernels
import LigerRuntime
import Tile

/// One evaluation of a loss against a teacher.
struct DistillationBatch {
    private let formula: FusedLinearDistillation.Formula
    private let options: FusedLinearDistillation.Options
    private let student: LinearHead
    private let linear: LinearChunks
    private let teacher: Teacher
    private let labels: NDArray?
    private let totals: LossTotals?

    private enum Teacher {
        case layer(LinearChunks)
        case probabilities(NDArray)

        var classes: Int {
            switch self {
            case .layer(let layer): layer.shape.vocabulary
            case .probabilities(let array): array.shape[1]
            }
        }
    }

    init(
        _ formula: FusedLinearDistillation.Formula, student: LinearHead,
        teacher: FusedLinearDistillation.Teacher, labels: NDArray?, totals: LossTotals?,
        _ options: FusedLinearDistillation.Options
    ) throws {
        self.formula = formula
        self.totals = totals
        self.options = options
        self.student = student
        // A student near its teacher has gradients far smaller than its logits' roundings to 16 bits.
        linear = try LinearChunks(
            input: student.input, weight: student.weight, bias: student.bias, logits: .exact)
        let tokens = linear.shape.tokens
        switch (teacher, formula) {
        case (.layer(let head), .jensenShannon), (.layer(let head), .cosine):
            let layer = try LinearChunks(input: head.input, weight: head.weight, bias: head.bias)
            guard layer.shape.tokens == tokens, layer.shape.vocabulary >= linear.shape.vocabulary else {
                throw RuntimeError(
                    "the teacher has \(layer.shape.tokens) tokens and \(layer.shape.vocabulary) classes. Give it "
                        + "\(tokens) tokens and at least the student's \(linear.shape.vocabulary) classes")
            }
            self.teacher = .layer(layer)
        case (.probabilities(let array), .kullbackLeibler):
            let rows = try array.asRows("the teacher's probabilities")
            try rows.expect("the teacher's probabilities", shape: [tokens, linear.shape.vocabulary])
            self.teacher = .probabilities(rows)
        default:
            throw RuntimeError(
                "a Kullback-Leibler divergence takes the teacher's probabilities, other losses its layer. Give "
                    + "what the loss takes")
        }
        self.labels = try labels.map { labels in
            guard labels.count == tokens, labels.isContiguous, labels.dtype == .i64 || labels.dtype == .i32
            else {
                throw RuntimeError(
                    "labels must be \(tokens) of i64 or i32, contiguous; found \(labels.dtype.rawValue) of shape "
                        + "\(labels.shape)")
            }
            return labels.flattened
        }
        try check()
    }

    private func check() throws {
        let temperature = options.sequences.temperature
        var problems: [String] = []
        if !(temperature > 0 && temperature.isFinite) {
            problems.append("the temperature is \(temperature); give it a number above 0")
        }
        if !(options.hardWeight.isFinite && options.softWeight.isFinite) {
            problems.append(
                "the weights are \(options.hardWeight) and \(options.softWeight); give finite numbers")
        }
        if options.computesHard && labels == nil { problems.append("a hard loss needs labels; give them") }
        if case .cosine(let beta) = formula, !beta.isFinite {
            problems.append("β is \(beta); give a finite number")
        }
        if !problems.isEmpty { throw RuntimeError("distillation: " + problems.joined(separator: "; ")) }
        if case .jensenShannon(let beta) = formula {
            try Divergence.Formula.jensenShannon(beta: beta).check()
        }
    }

    func run(needs: LinearNeeds) throws -> FusedLinearDistillation.Result {
        let shape = linear.shape, device = student.input.device
        let perToken = { try NDArray(empty: [shape.tokens], device: device) }
        let (losses, softs) = (try perToken(), try perToken())
        let hards = options.computesHard ? try perToken() : nil
        let share = try self.share(shape.tokens, device)
        let plan = plan(needs)
        let other: NDArray? =
            if case .layer = teacher {
                try LogitStorage.array(plan.chunkTokens, teacher.classes, .f32, on: device)
            } else { nil }
        let exact = options.sequences.accumulation == .exact
        let gradients = try linear.run(plan, needs: needs, exact: exact) { logits, gradient, rows in
            let given = try teacherRows(rows, other)
            let separate =
                needs.wantsGradients && shape.gradient != shape.logits ? gradient.values : nil
            try kernel(logits, given, needs, separate?.dtype).launch(
                programs: rows.count,
                [
                    "student": logits, "teacher": given, "share": share,
                    "loss": losses.sliced(0, rows), "soft": softs.sliced(0, rows),
                    "hard": hards?.sliced(0, rows), "labels": labels?.sliced(0, rows),
                    "scales": gradient.scales, "gradient": separate,
                ])
        }
        return FusedLinearDistillation.Result(
            loss: try Total.apply(losses), soft: try Total.apply(softs),
            hard: try hards.map { try Total.apply($0) },
            dInput: gradients.input?.reshaped(student.input.shape), dWeight: gradients.weight,
            dBias: gradients.bias, scales: gradients.scales)
    }

    private func kernel(
        _ logits: NDArray, _ teacher: NDArray, _ needs: LinearNeeds, _ separate: DType?
    ) -> DistillationRows {
        DistillationRows(
            formula: formula, classes: linear.shape.vocabulary, teacherClasses: self.teacher.classes,
            student: logits.dtype, teacher: teacher.dtype, labels: labels?.dtype,
            ignoreIndex: options.sequences.ignoreIndex, temperature: options.sequences.temperature,
            hardWeight: options.hardWeight, hasHard: options.computesHard, softWeight: options.softWeight,
            hasGradient: needs.wantsGradients, hasScales: needs.wantsGradients && linear.shape.isScaled,
            separateGradient: separate)
    }

    /// Chunks of which the logits of both sides fit the budget.
    private func plan(_ needs: LinearNeeds) -> ChunkPlan {
        let shape = linear.shape, exact = options.sequences.accumulation == .exact
        let device = student.input.device
        let budget = options.sequences.budgetBytes(on: device)
        let own = shape.rowBytes(needs)
        let other =
            if case .layer = teacher { 4 * LogitStorage.pitch(teacher.classes, on: device) } else { 0 }
        let rows = max(1, min(shape.tokens, budget / (own + other)))
        return ChunkPlan(
            shape, needs: needs, exact: exact, budgetBytes: rows * own,
            lossBytes: 4 * 4 * shape.tokens + rows * other)
    }

    private func teacherRows(_ rows: Range<Int>, _ buffer: NDArray?) throws -> NDArray {
        switch teacher {
        case .probabilities(let array): return array.sliced(0, rows)
        case .layer(let layer):
            guard let buffer else { preconditionFailure("a teacher's layer has a buffer") }
            let logits = buffer.sliced(0, 0..<rows.count)
            try layer.computeLogits(of: rows, into: logits)
            return logits
        }
    }

    /// [1], f32: 1 / the tokens that count.
    private func share(_ tokens: Int, _ device: Device) throws -> NDArray {
        let count =
            try totals?.tokens
            ?? labels.map { try RowCount.apply($0, ignoreIndex: options.sequences.ignoreIndex) }
        let share = try NDArray(empty: [1], device: device)
        try DistillationShare(counts: count != nil).launch(
            programs: 1, ["share": share, "count": count],
            scalars: ["tokens": .float(Float(tokens))])
        return share
    }
}

/// 1 / count, which of a part may be less than 1, and 0 of no token; one program.
struct DistillationShare: TileKernel {
    let counts: Bool

    func body(_ p: Program) {
        let share = p.output("share", .f32, rank: 1)
        let count = counts ? p.input("count", .f32, rank: 1) : nil
        let tokens = p.scalar("tokens"), counted = count?[0] ?? tokens
        share[0] = select(counted == 0, 0, 1 / counted)
    }
}
