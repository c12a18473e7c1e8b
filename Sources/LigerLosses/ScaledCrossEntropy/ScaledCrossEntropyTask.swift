import LigerKernels
import LigerRuntime
import Tile

/// One evaluation, chunk by chunk of tokens or, backward, block by block of classes.
struct ScaledCrossEntropyTask {
    let linear: LinearChunks
    let labels: NDArray
    let options: SequenceOptions

    init(_ head: LinearHead, labels: NDArray, _ options: SequenceOptions) throws {
        linear = try LinearChunks(
            input: head.input, weight: head.weight, bias: head.bias, logits: .exact)
        // Checks both.
        let scorer = try TokenScorer(
            labels: labels, tokens: linear.shape.tokens, ignoreIndex: options.ignoreIndex,
            temperature: options.temperature)
        self.labels = scorer.labels
        self.options = options
    }

    private func plan(_ needs: LinearNeeds, lossBytes: Int) -> ChunkPlan {
        ChunkPlan(
            linear.shape, needs: needs, exact: options.accumulation == .exact,
            budgetBytes: options.budgetBytes(on: labels.device), lossBytes: lossBytes)
    }

    func forward(classes: NDArray?, wantsEntropy: Bool) throws -> FusedLinearScaledCrossEntropy.Result {
        if classes == nil, let found = try scores(wantsEntropy: wantsEntropy) { return found }
        let tokens = linear.shape.tokens
        let perToken = { try NDArray(empty: [tokens], device: labels.device) }
        if let classes { try classes.expect("the selected classes", shape: [classes.count], dtype: .i32) }
        let count = classes?.count ?? 0
        let result = FusedLinearScaledCrossEntropy.Result(
            nll: try perToken(), entropy: wantsEntropy ? try perToken() : nil,
            selected: try classes.map { try NDArray(empty: [tokens, $0.count], device: labels.device) },
            maximum: try perToken(), sumExp: try perToken())
        let kernel = ScaledCrossEntropyRows(
            classes: linear.shape.vocabulary, labels: labels.dtype, ignoreIndex: options.ignoreIndex,
            temperature: options.temperature, hasEntropy: wantsEntropy, selected: count)
        _ = try linear.run(plan([], lossBytes: 0), needs: [], exact: true) { logits, _, rows in
            func own(_ array: NDArray?) -> NDArray? { array?.sliced(0, rows) }
            try kernel.launch(
                programs: rows.count,
                [
                    "logits": logits, "labels": own(labels), "nll": own(result.nll),
                    "maximum": own(result.maximum), "sum of exp": own(result.sumExp),
                    "entropy": own(result.entropy), "selected": count > 0 ? own(result.selected) : nil,
                    "classes": count > 0 ? classes : nil,
                ])
        }
        return result
    }

    /// In one product where the device's own kernels can.
    private func scores(wantsEntropy: Bool) throws -> FusedLinearScaledCrossEntropy.Result? {
        let asked = LabelScores.Options(
            ignoreIndex: options.ignoreIndex, temperature: options.temperature, wantsEntropy: wantsEntropy)
        return try linear.scores(labels, asked).map {
            FusedLinearScaledCrossEntropy.Result(
                nll: $0.nll, entropy: $0.entropy, maximum: $0.maximum, sumExp: $0.sumExp)
        }
    }

    func backward(
        _ result: FusedLinearScaledCrossEntropy.Result, _ upstream: FusedLinearScaledCrossEntropy.Upstream,
        needs: LinearNeeds
    ) throws -> LinearChunks.Gradients {
        if !needs.wantsGradients { return LinearChunks.Gradients() }
        try check(result, upstream)
        if let plan = classPlan, suitsProduct {
            return try backward(plan, result, upstream, needs: needs)
        }
        let (shape, selected) = (linear.shape, upstream.selected)
        let separate = shape.gradient == shape.logits ? nil : shape.gradient
        let kernel = ScaledCrossEntropyGradientRows(
            classes: shape.vocabulary, labels: labels.dtype, ignoreIndex: options.ignoreIndex,
            temperature: options.temperature, hasEntropy: upstream.entropy != nil,
            selected: selected?.derivatives.shape[1] ?? 0, hasScales: shape.isScaled,
            separateGradient: separate)
        let entropy = upstream.entropy == nil ? nil : result.entropy
        let exact = options.accumulation == .exact
        let plan = plan(needs, lossBytes: 0)
        return try linear.run(plan, needs: needs, exact: exact) { logits, gradient, rows in
            func own(_ array: NDArray?) -> NDArray? { array?.sliced(0, rows) }
            try kernel.launch(
                programs: rows.count,
                [
                    "logits": logits, "labels": own(labels), "maximum": own(result.maximum),
                    "sum of exp": own(result.sumExp), "by nll": own(upstream.nll),
                    "by entropy": own(upstream.entropy), "entropy": own(entropy),
                    "by selected": own(selected?.derivatives), "columns": selected?.columns,
                    "scales": gradient.scales, "gradient": separate == nil ? nil : gradient.values,
                ])
        }
    }

    private func check(
        _ result: FusedLinearScaledCrossEntropy.Result, _ upstream: FusedLinearScaledCrossEntropy.Upstream
    ) throws {
        let (tokens, vocabulary) = (linear.shape.tokens, linear.shape.vocabulary)
        for array in [result.maximum, result.sumExp] {
            try array.expect("what forward found", shape: [tokens], dtype: .f32)
        }
        try upstream.nll.expect("the derivatives by nll", shape: [tokens], dtype: .f32)
        try upstream.entropy?.expect("the derivatives by the entropy", shape: [tokens], dtype: .f32)
        guard upstream.entropy == nil || result.entropy?.shape == [tokens] else {
            throw RuntimeError(
                "there are derivatives by the entropy and no entropy. Give what forward found, or neither")
        }
        guard let selected = upstream.selected else { return }
        let width = selected.derivatives.shape.last ?? 0
        try selected.derivatives.expect(
            "the derivatives by selected classes", shape: [tokens, max(width, 1)], dtype: .f32)
        try selected.columns.expect("the classes' columns", shape: [vocabulary], dtype: .i32)
    }
}
