public import LigerKernels
public import LigerRuntime
public import Tile

/// Cross entropy of the logits of a linear layer, logits = x W^T + b, without the logits: they are made, turned
/// into a loss and its gradients, and overwritten chunk by chunk of tokens.
///
/// The loss is `CrossEntropy`'s, its mean over the labels of all chunks. Logits are fp32 and never rounded on
/// the processor; on a GPU they have the weight's type, as the library for matrix products needs it.
/// Cost: three products of tokens x vocabulary x hidden (one without gradients), as without chunks.
public enum FusedLinearCrossEntropy {
    /// How a call is cut, and the memory it takes.
    public typealias Plan = ChunkPlan
    /// Which gradients are wanted.
    public typealias Needs = LinearNeeds

    /// The type that weight gradients are summed in over chunks.
    public enum Accumulation: String, Sendable, Hashable, CaseIterable {
        /// fp32, rounded once at the end; the error does not grow with the number of chunks.
        case exact
        /// The weight's own type, rounded chunk by chunk: less memory for 16-bit weights.
        case storage
    }

    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// The loss of the logits.
        public var crossEntropy: CrossEntropy.Options
        /// What the logits of a chunk may take, in bytes; a chunk has at least one token. Nil takes the
        /// device's: 48 MiB on the processor, 640 MiB on a GPU, whose products need longer chunks. Then all tokens
        /// are one chunk where that takes no more memory, as several need fp32 sums of the weight's gradient.
        public var budgetBytes: Int?
        /// What weight gradients are summed in.
        public var accumulation: Accumulation

        /// Options; exact sums and the device's budget where none is given.
        public init(
            _ crossEntropy: CrossEntropy.Options = CrossEntropy.Options(), budgetBytes: Int? = nil,
            accumulation: Accumulation = .exact
        ) {
            self.crossEntropy = crossEntropy
            self.budgetBytes = budgetBytes
            self.accumulation = accumulation
        }
    }

    /// A loss, what was asked for with it, and the needed gradients for an upstream gradient of 1.
    public struct Result: Sendable {
        /// [] or, without reduction, [tokens]; f32; the z-loss is part of it.
        public let loss: NDArray
        /// The z-loss alone, like `loss`; nil where its weight is 0.
        public let zLoss: NDArray?
        /// As in `CrossEntropy.Result`; nil where not asked for.
        public let accuracy: NDArray?
        /// As in `CrossEntropy.Result`; nil where not asked for.
        public let argmax: NDArray?
        /// The gradient of the input, like it; nil where not needed.
        public let dInput: NDArray?
        /// The gradient of the weight, like it; nil where not needed.
        public let dWeight: NDArray?
        /// The gradient of the bias, like it; nil where not needed.
        public let dBias: NDArray?
        /// What these still have to be multiplied by, where `LinearNeeds.scales` asked for it.
        public let scales: LinearScales
    }

    /// Chunks long enough for products at full speed, at common vocabularies.
    public static func defaultBudgetBytes(on device: Device) -> Int {
        device.isGPU ? 640 << 20 : 48 << 20
    }

    /// How a call will be cut, and the memory it will take.
    ///
    /// - Parameters:
    ///   - tokens: rows of the input.
    ///   - hidden: the input's last dimension.
    ///   - vocabulary: rows of the weight.
    ///   - dtype: of input, weight and bias.
    ///   - hasBias: whether the layer has a bias.
    ///   - options: as for `forward`.
    ///   - wants: as for `forward`.
    ///   - needs: as for `forward`.
    ///   - device: where the call will run.
    public static func plan(
        tokens: Int, hidden: Int, vocabulary: Int, dtype: DType = .f32, hasBias: Bool = false,
        options: Options = Options(), wants: CrossEntropy.Outputs = [], needs: Needs = .all,
        on device: Device = .cpu
    ) -> Plan {
        var layer = LinearShape(
            tokens: tokens, hidden: hidden, vocabulary: vocabulary,
            pitch: LogitStorage.pitch(vocabulary, on: device), dtype: dtype, hasBias: hasBias,
            logits: LogitStorage.shared.dtype(weight: dtype, on: device))
        layer.isExponential =
            !hasBias && needs.wantsGradients
            && CrossEntropyTask.isPlain(options.crossEntropy, classWeights: nil, wants: wants)
            && LabelExponentials.isAvailable(dtype, hidden: hidden, on: device)
        return plan(layer, options, wants, needs, device)
    }

    /// As above, with the options' defaults but for the budget.
    public static func plan(
        tokens: Int, hidden: Int, vocabulary: Int, dtype: DType = .f32, budgetBytes: Int
    ) -> Plan {
        plan(
            tokens: tokens, hidden: hidden, vocabulary: vocabulary, dtype: dtype,
            options: Options(budgetBytes: budgetBytes))
    }

    private static func plan(
        _ layer: LinearShape, _ options: Options, _ wants: CrossEntropy.Outputs, _ needs: Needs,
        _ device: Device
    ) -> Plan {
        let exact = options.accumulation == .exact
        let lossBytes = CrossEntropyTask.byteCount(
            rows: layer.tokens, options: options.crossEntropy, wants: wants)
        let plan =
            options.budgetBytes.map {
                ChunkPlan(layer, needs: needs, exact: exact, budgetBytes: $0, lossBytes: lossBytes)
            }
            ?? ChunkPlan(
                layer, needs: needs, exact: exact, deviceBytes: defaultBudgetBytes(on: device),
                lossBytes: lossBytes)
        return plan.orInGradient(of: layer, needs: needs, lossBytes: lossBytes)
    }

    /// The loss, and the needed gradients.
    ///
    /// - Parameters:
    ///   - input: x, [..., H]; leading dimensions count as tokens.
    ///   - weight: W, [V, H].
    ///   - bias: b, [V]. All three f32, bf16 or f16, not necessarily the same.
    ///   - labels: as many as tokens, i64 or i32.
    ///   - classWeights: [V].
    ///   - options: the loss, the budget and the type of sums.
    ///   - normaliser: as for `CrossEntropy.forward`.
    ///   - upstream: f32, the gradient of a loss without reduction, one per token: where it is known, gradients
    ///     are for it instead of 1.
    ///   - wants: accuracy and argmax in addition to the loss.
    ///   - needs: with none, only the loss is computed, still in chunks.
    /// - Throws: as `CrossEntropy.forward`; and an error that names the package to install if there is no
    ///   library for matrix products.
    public static func forward(
        input: NDArray, weight: NDArray, bias: NDArray? = nil, labels: NDArray, classWeights: NDArray? = nil,
        options: Options = Options(), normaliser: NDArray? = nil, upstream: NDArray? = nil,
        wants: CrossEntropy.Outputs = [], needs: Needs = .all
    ) throws -> Result {
        let needs = bias == nil ? needs.subtracting(.bias) : needs
        let isPlain = CrossEntropyTask.isPlain(
            options.crossEntropy, classWeights: classWeights, wants: wants)
        let isOfLabels = bias == nil && isPlain
        let linear = try LinearChunks(
            input: input, weight: weight, bias: bias,
            isExponential: isPlain && needs.wantsGradients
                && LinearChunks.suitExponentials(input, weight, bias: bias))
        let layer = linear.shape
        if let upstream { try upstream.expect("upstream", shape: [layer.tokens], dtype: .f32) }
        let task = try CrossEntropyTask(
            labels: labels, rows: layer.tokens, classes: layer.vocabulary, classWeights: classWeights,
            options: options.crossEntropy, normaliser: normaliser, wants: wants, device: input.device)
        let plan = plan(layer, options, wants, needs, input.device)
        let gradients: LinearChunks.Gradients
        if layer.isExponential {
            gradients = try linear.runExponentials(
                plan, labels: labels.flattened,
                options: LabelExponentials.Options(ignoreIndex: options.crossEntropy.ignoreIndex),
                needs: needs, exact: options.accumulation == .exact
            ) { found, factors, pieces in
                try task.run(
                    nll: found.nll, pieces[0], total: found.total, upstream: upstream, factors: factors)
            }
        } else if isOfLabels, !needs.wantsGradients,
            let nll = try linear.scores(
                labels, LabelScores.Options(ignoreIndex: options.crossEntropy.ignoreIndex))?.nll
        {
            try task.run(nll: nll, 0..<layer.tokens)
            gradients = LinearChunks.Gradients()
        } else {
            gradients = try linear.run(
                plan, needs: needs, exact: options.accumulation == .exact
            ) { logits, gradient, rows in
                try task.run(
                    logits, rows, gradient: needs.wantsGradients ? gradient.values : nil, upstream: upstream,
                    scales: gradient.scales)
            }
        }
        let loss = try task.result()
        return Result(
            loss: loss.loss, zLoss: loss.zLoss, accuracy: loss.accuracy, argmax: loss.argmax,
            dInput: gradients.input?.reshaped(input.shape), dWeight: gradients.weight, dBias: gradients.bias,
            scales: gradients.scales)
    }
}
