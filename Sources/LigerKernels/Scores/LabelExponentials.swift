package import LigerRuntime
package import Tile

/// The logits of a linear layer as what their gradient is made of. With v_c = x w_c / T, y the label and a shift t:
///
///     e_c = e^(v_c - t) for c != y      e_y = -sum of the others      z = e^(v_y - t) + sum of the others
///     nll = log z + t - v_y             dnll/dv = e / z
///
/// so a row of the logits' gradient is a row of e times one number, and two products follow without a pass over the logits
/// between. t is v_y, which one row of each matrix gives before the product, so that z is 1 + the others' sum: neither the
/// loss nor p_y - 1 cancels, whatever the logits. In 16 bits every element is off by a 512th at most, whatever the logits.
///
/// Where other logits are more than 44 above the label's, products with e could overflow. The device finds such rows, and
/// then, without the host, does the product once more, with t = max(v) for them.
///
/// Cost: a product of tokens x classes x hidden, and one store of each e.
package enum LabelExponentials {
    /// What is found of each token, [tokens] and f32.
    package struct Result {
        package let nll: NDArray
        /// What a row of e must be divided by.
        package let total: NDArray
        /// The sums of the logits, before the temperature; nil where not asked for.
        package let logitSums: NDArray?
    }

    package struct Options: Hashable, Sendable {
        package var ignoreIndex: Int
        package var temperature: Float
        package var wantsLogitSums: Bool

        package init(ignoreIndex: Int = -100, temperature: Float = 1, wantsLogitSums: Bool = false) {
            self.ignoreIndex = ignoreIndex
            self.temperature = temperature
            self.wantsLogitSums = wantsLogitSums
        }
    }

    /// Whether they are the better way: where the device's own kernels multiply. f16 lacks the exponents that they need.
    package static func isAvailable(_ x: NDArray, _ weight: NDArray) -> Bool {
        weight.dtype != .f16 && LabelScores.isAvailable(x, weight)
    }

    /// The same, of arrays of a type whose rows are contiguous.
    package static func isAvailable(_ dtype: DType, hidden: Int, on device: Device) -> Bool {
        dtype == .bf16 && hidden % 8 == 0 && device.backend.traits.multipliesInKernels
    }

    /// Bytes of what a call holds in addition to e and its result, and of the result.
    package static func byteCount(tokens: Int, classes: Int) -> Int {
        4 * tokens * (4 * ClassBlocks(classes).count + 6)
    }

    /// What each block of classes comes to for each token.
    private struct Partial {
        let maxima: NDArray, sums: NDArray, stored: NDArray, logitSums: NDArray?

        init(shape: [Int], hasLogitSums: Bool, device: Device) throws {
            maxima = try NDArray(empty: shape, device: device)
            sums = try NDArray(empty: shape, device: device)
            stored = try NDArray(empty: shape, device: device)
            logitSums = hasLogitSums ? try NDArray(empty: shape, device: device) : nil
        }
    }

    /// Sets a matrix to e, for tokens whose labels are classes or ignored. Rows of ignored labels are 0, and count for
    /// nothing: nll 0, z 1.
    ///
    /// - Parameters:
    ///   - x: [tokens, hidden]; `weight`: [classes, hidden]; both of one type.
    ///   - labels: [tokens], i64 or i32.
    ///   - e: [tokens, classes], f32 or bf16.
    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    package static func apply(
        _ x: NDArray, weight: NDArray, labels: NDArray, into e: NDArray, options: Options = Options()
    ) throws -> Result {
        let (tokens, classes) = (x.shape[0], weight.shape[0])
        try LabelScores.check(x, weight, labels)
        try e.expect("the exponentials", shape: [tokens, classes], dtype: e.dtype == .f32 ? .f32 : .bf16)
        let cut = ClassBlocks(classes), blocks = cut.count
        func floats(_ shape: Int...) throws -> NDArray { try NDArray(empty: shape, device: x.device) }
        let (shift, ofLabel) = (try floats(tokens), try floats(tokens))
        let overflows = try floats(tokens), hasLogitSums = options.wantsLogitSums
        let partial = try Partial(
            shape: [tokens, blocks], hasLogitSums: hasLogitSums, device: x.device)
        let result = Result(
            nll: try floats(tokens), total: try floats(tokens),
            logitSums: hasLogitSums ? try floats(tokens) : nil)
        try LabelLogits(
            columns: x.shape[1], dtype: x.dtype, labels: labels.dtype, options: options
        ).launch(
            programs: tokens,
            ["x": x, "weight": weight, "labels": labels, "of label": ofLabel, "shift": shift])
        func multiply(onlyIf condition: NDArray?) throws {
            for part in cut.parts {
                func own(_ array: NDArray?) -> NDArray? { array?.sliced(1, part.blocks) }
                try BlockExponentials(
                    dtype: x.dtype, stored: e.dtype, labels: labels.dtype, temperature: options.temperature,
                    hasLogitSums: hasLogitSums, isRepeated: condition != nil, width: part.width,
                    isWhole: part.isWhole
                ).launch(
                    programs: tokens,
                    [
                        "x": x, "weight": weight.sliced(0, part.classes), "labels": labels, "shift": shift,
                        "condition": condition, "exponentials": e.sliced(1, part.classes),
                        "maxima": own(partial.maxima), "sums": own(partial.sums),
                        "stored sums": own(partial.stored), "sums of logits": own(partial.logitSums),
                    ], scalars: ["first class": .index(part.classes.lowerBound)])
            }
        }
        try multiply(onlyIf: nil)
        let capacity = capacity(for: blocks, atLeast: 32)
        try ExponentialOverflows(blocks: capacity).launch(
            programs: tokens,
            [
                "maxima": partial.maxima, "stored sums": partial.stored, "shift": shift,
                "overflows": overflows,
            ])
        try multiply(onlyIf: try Total.apply(overflows).flattened)
        try JoinedExponentials(
            blocks: capacity, dtype: e.dtype, labels: labels.dtype, ignoreIndex: options.ignoreIndex,
            hasLogitSums: hasLogitSums
        ).launch(
            programs: tokens,
            [
                "labels": labels, "sums": partial.sums, "stored sums": partial.stored, "shift": shift,
                "of label": ofLabel, "exponentials": e, "nll": result.nll, "total": result.total,
                "sums of logits": partial.logitSums, "sum of logits": result.logitSums,
            ])
        return result
    }
}
