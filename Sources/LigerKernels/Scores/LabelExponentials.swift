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
    ///
    /// - Parameter pieces: arrays that e is spread over.
    package static func byteCount(tokens: Int, classes: Int, pieces: Int = 1) -> Int {
        let joined = pieces == 1 ? 0 : (SharedExponentials.count + 4) * pieces
        return 4 * tokens * (4 * ClassBlocks(classes).count + 6 + joined)
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
        let layer = try ExponentialBlocks.Layer(x, weight: weight, labels: labels, options: options)
        let blocks = try ExponentialBlocks(layer, into: e), tokens = layer.tokens
        func floats() throws -> NDArray { try NDArray(empty: [tokens], device: x.device) }
        let (shift, overflows) = (try floats(), try floats())
        let result = Result(
            nll: try floats(), total: try floats(),
            logitSums: options.wantsLogitSums ? try floats() : nil)
        let ofLabel = try layer.labelLogits(shift: shift)
        try blocks.multiply(shift: shift)
        try ExponentialOverflows(blocks: blocks.capacity).launch(
            programs: tokens,
            [
                "maxima": blocks.maxima, "stored sums": blocks.stored, "shift": shift,
                "overflows": overflows,
            ])
        try blocks.multiply(shift: shift, onlyIf: try Total.apply(overflows).flattened)
        try JoinedExponentials(
            blocks: blocks.capacity, dtype: e.dtype, labels: labels.dtype, ignoreIndex: options.ignoreIndex,
            hasLogitSums: options.wantsLogitSums
        ).launch(
            programs: tokens,
            [
                "labels": labels, "sums": blocks.sums, "stored sums": blocks.stored, "shift": shift,
                "of label": ofLabel, "exponentials": e, "nll": result.nll, "total": result.total,
                "sums of logits": blocks.logitSums, "sum of logits": result.logitSums,
            ])
        return result
    }
}

extension LabelExponentials {
    /// The exponentials of a run of classes, in an array of their own.
    package struct Piece {
        package let classes: Range<Int>
        /// [tokens, classes], f32 or bf16.
        package let e: NDArray

        package init(classes: Range<Int>, e: NDArray) { (self.classes, self.e) = (classes, e) }
    }

    /// As above, with the classes' exponentials in several arrays, which are joined as those of ranks are.
    ///
    /// - Parameter pieces: all classes, in their order.
    package static func apply(
        _ x: NDArray, weight: NDArray, labels: NDArray, into pieces: [Piece], options: Options
    ) throws -> Result {
        let whole = try ExponentialBlocks.Layer(x, weight: weight, labels: labels, options: options)
        let shift = try NDArray(empty: [whole.tokens], device: x.device)
        let ofLabel = try whole.labelLogits(shift: shift)
        let found = try NDArray(
            empty: [pieces.count, SharedExponentials.count(options), whole.tokens], device: x.device)
        let shares = try pieces.enumerated().map { number, piece in
            let layer = try ExponentialBlocks.Layer(
                x, weight: weight.sliced(0, piece.classes), labels: labels, first: piece.classes.lowerBound,
                options: options)
            return try SharedExponentials(
                layer, e: piece.e, ofLabel: ofLabel, shift: shift,
                numbers: found.sliced(0, number..<(number + 1)).reshaped(Array(found.shape.dropFirst())))
        }
        for share in shares { try share.multiply() }
        let condition = try shares[0].overflows(found)
        for share in shares { try share.multiply(onlyIf: condition) }
        return try shares.map { try $0.result(found) }[shares.count - 1]
    }
}
