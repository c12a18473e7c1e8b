package import LigerRuntime
import Tile

/// What a linear layer says of each token's label, without logits in memory. With v = (x w_c + b_c) / T over the classes c:
///
///     m = max(v)      s = sum(e^(v - m))      nll = m - v_label + log s      entropy = log s - sum(e^(v - m) (v - m)) / s
///
/// A kernel multiplies a tile of tokens with a block of classes and keeps four numbers of each token and block; a second
/// one puts the blocks together. Logits are fp32 and never leave registers.
///
/// Cost: one product of tokens x classes x hidden, and 12 to 16 bytes a token for every 256 classes.
package enum LabelScores {
    /// What is found of each token, [tokens] and f32.
    package struct Result {
        package let nll: NDArray
        /// Nil where not asked for.
        package let entropy: NDArray?
        /// m, and s.
        package let maximum, sumExp: NDArray
        /// The sums of the logits, before the temperature; nil where not asked for.
        package let logitSums: NDArray?
    }

    package struct Options: Hashable, Sendable {
        package var ignoreIndex: Int
        package var temperature: Float
        package var wantsEntropy: Bool
        package var wantsLogitSums: Bool

        package init(
            ignoreIndex: Int = -100, temperature: Float = 1, wantsEntropy: Bool = false,
            wantsLogitSums: Bool = false
        ) {
            self.ignoreIndex = ignoreIndex
            self.temperature = temperature
            self.wantsEntropy = wantsEntropy
            self.wantsLogitSums = wantsLogitSums
        }
    }

    /// Says that they are available on any device: for tests.
    @TaskLocal package static var isForced = false

    /// Whether the device's own kernels multiply these: both of one 16-bit type, rows at multiples of 16 bytes.
    package static func isAvailable(_ x: NDArray, _ weight: NDArray) -> Bool {
        if isForced { return true }
        return x.device.backend.traits.multipliesInKernels && x.dtype.byteCount == 2
            && x.dtype == weight.dtype && hasAlignedRows(x) && hasAlignedRows(weight)
    }

    private static func hasAlignedRows(_ array: NDArray) -> Bool {
        array.shape.count == 2 && array.strides[1] == 1 && array.strides[0] % 8 == 0
            && UInt(bitPattern: array.view.address) % 16 == 0
    }

    /// - Throws: `RuntimeError` where matrices and labels do not fit together.
    static func check(_ x: NDArray, _ weight: NDArray, _ labels: NDArray) throws {
        guard x.shape.count == 2, weight.shape.count == 2, x.shape[1] == weight.shape[1],
            x.dtype == weight.dtype, labels.shape == [x.shape[0]]
        else {
            throw RuntimeError(
                "a layer takes x [tokens, hidden], a weight [classes, hidden] of one type and [tokens] labels; found "
                    + "\(x.shape) of \(x.dtype.rawValue), \(weight.shape) of \(weight.dtype.rawValue), "
                    + "\(labels.shape)")
        }
    }

    /// - Parameters:
    ///   - x: [tokens, hidden]; `weight`: [classes, hidden], both of one type; `bias`: [classes], or nil.
    ///   - labels: [tokens], i64 or i32. Where the label is ignored all is 0, and s is 1.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out; an error that names a label that is
    ///   no class.
    package static func scores(
        _ x: NDArray, weight: NDArray, bias: NDArray? = nil, labels: NDArray, options: Options = Options()
    ) throws -> Result {
        try check(x, weight, labels)
        let (tokens, classes) = (x.shape[0], weight.shape[0])
        try bias?.expect("bias", shape: [classes], dtype: weight.dtype)
        let cut = ClassBlocks(classes), blocks = cut.count
        let perBlock = { try NDArray(empty: [tokens, blocks], device: x.device) }
        let perToken = { try NDArray(empty: [tokens], device: x.device) }
        let (maxima, sums, ofLabel) = (try perBlock(), try perBlock(), try perToken())
        let weighted = options.wantsEntropy ? try perBlock() : nil
        let logitSums = options.wantsLogitSums ? try perBlock() : nil
        for part in cut.parts {
            func own(_ array: NDArray?) -> NDArray? { array?.sliced(1, part.blocks) }
            try BlockScores(
                dtype: x.dtype, labels: labels.dtype, temperature: options.temperature, hasBias: bias != nil,
                hasEntropy: options.wantsEntropy, hasLogitSums: options.wantsLogitSums, width: part.width,
                isWhole: part.isWhole
            ).launch(
                programs: tokens,
                [
                    "x": x, "weight": weight.sliced(0, part.classes),
                    "bias": bias?.sliced(0, part.classes), "labels": labels, "maxima": own(maxima),
                    "sums": own(sums), "of label": ofLabel, "weighted": own(weighted),
                    "sums of logits": own(logitSums),
                ], scalars: ["first class": .index(part.classes.lowerBound)])
        }
        let result = Result(
            nll: try perToken(), entropy: options.wantsEntropy ? try perToken() : nil,
            maximum: try perToken(), sumExp: try perToken(),
            logitSums: options.wantsLogitSums ? try perToken() : nil)
        let whole = JoinedScores(
            blocks: capacity(for: blocks, atLeast: 32), classes: classes, labels: labels.dtype,
            ignoreIndex: options.ignoreIndex, hasEntropy: options.wantsEntropy,
            hasLogitSums: options.wantsLogitSums)
        try whole.launch(
            programs: tokens,
            [
                "labels": labels, "maxima": maxima, "sums": sums, "of label": ofLabel, "weighted": weighted,
                "nll": result.nll, "maximum": result.maximum, "sum of exp": result.sumExp,
                "entropy": result.entropy, "sums of logits": logitSums, "sum of logits": result.logitSums,
            ])
        return result
    }
}
