package import LigerRuntime
import Tile

/// `LabelExponentials` of a layer whose classes are spread over ranks, each of which has a run of them and all tokens. With
/// s_r the sum of e over the classes of rank r:
///
///     t = v_y      z = e^(v_y - t) + sum of s_r      nll = log z + t - v_y      e_y = -sum of s_r      dnll/dv = e / z
///
/// Three times ranks tell each other numbers of each token: v_y, which one of them has; what their own classes come to,
/// from which all see the same rows overflow, and do these once more with t = max(v); and what they come to then. Sums are
/// in the order of ranks, so nll and z are the same on all, bit for bit.
///
/// Cost: as `LabelExponentials`, of a rank's own classes, and 7 numbers a token from every rank.
package struct SharedExponentials {
    /// Numbers of a token that ranks tell each other: the sum of e, the same as stored, and the largest logit.
    package static let count = 3
    /// The same, and the sum of logits where that is asked for.
    static func count(_ options: LabelExponentials.Options) -> Int {
        count + (options.wantsLogitSums ? 1 : 0)
    }

    private let layer: ExponentialBlocks.Layer
    private let e: NDArray
    /// The label's logit and the shift, [tokens], f32: the same on all ranks.
    package let ofLabel, shift: NDArray
    /// What this rank's classes come to, [3, tokens], f32; 4 with sums of logits.
    package let numbers: NDArray

    /// All steps.
    ///
    /// - Parameter e: [tokens, own classes], f32 or bf16.
    /// - Throws: `RuntimeError` if shapes or types do not fit, memory runs out, or ranks cannot exchange.
    package static func apply(
        _ layer: ExponentialBlocks.Layer, of classes: Int, into e: NDArray, ranks: some ClassRanks
    ) throws -> LabelExponentials.Result {
        let logits = try ranks.gathered(labelLogits(layer))
        let shared = try SharedExponentials(layer, of: classes, into: e, labelLogits: logits)
        try shared.repeatOverflows(ranks.gathered(shared.numbers))
        return try shared.result(ranks.gathered(shared.numbers))
    }

    /// First step: logits of the labels that are here, [tokens], f32; 0 for others.
    package static func labelLogits(_ layer: ExponentialBlocks.Layer) throws -> NDArray {
        try layer.labelLogits(shift: nil)
    }

    /// Second step: e, and what it comes to.
    ///
    /// - Parameters:
    ///   - classes: of all ranks.
    ///   - logits: of the first step, [ranks, tokens].
    package init(
        _ layer: ExponentialBlocks.Layer, of classes: Int, into e: NDArray, labelLogits logits: NDArray
    ) throws {
        (self.layer, self.e) = (layer, e)
        let tokens = layer.tokens
        func floats(_ shape: Int...) throws -> NDArray { try NDArray(empty: shape, device: e.device) }
        (ofLabel, shift) = (try floats(tokens), try floats(tokens))
        numbers = try floats(Self.count(layer.options), tokens)
        try SharedLabelLogits(
            ranks: logits.shape[0], classes: classes, labels: layer.labels.dtype,
            ignoreIndex: layer.options.ignoreIndex
        ).launch(
            programs: tokens,
            ["found": logits, "labels": layer.labels, "of label": ofLabel, "shift": shift])
        try multiply()
    }

    /// Goes on from the second step's arrays.
    package init(
        _ layer: ExponentialBlocks.Layer, e: NDArray, ofLabel: NDArray, shift: NDArray, numbers: NDArray
    ) throws {
        let tokens = layer.tokens
        try ofLabel.expect("the labels' logits", shape: [tokens], dtype: .f32)
        try shift.expect("the shift", shape: [tokens], dtype: .f32)
        try numbers.expect("the numbers", shape: [Self.count(layer.options), tokens], dtype: .f32)
        (self.layer, self.e, self.ofLabel, self.shift, self.numbers) = (layer, e, ofLabel, shift, numbers)
    }

    /// Third step: rows that overflow on some rank are done once more, and numbers set to what they come to then.
    ///
    /// - Parameter found: the numbers of all ranks, [ranks, 3, tokens].
    package func repeatOverflows(_ found: NDArray) throws { try multiply(onlyIf: overflows(found)) }

    /// How many rows overflow somewhere, one f32; these get another shift.
    func overflows(_ found: NDArray) throws -> NDArray {
        let overflows = try NDArray(empty: [layer.tokens], device: e.device)
        try SharedOverflows(ranks: found.shape[0]).launch(
            programs: layer.tokens, ["found": found, "shift": shift, "overflows": overflows])
        return try Total.apply(overflows).flattened
    }

    /// Sets e, and what it comes to.
    func multiply(onlyIf condition: NDArray? = nil) throws {
        let blocks = try ExponentialBlocks(layer, into: e)
        try blocks.multiply(shift: shift, onlyIf: condition)
        try ExponentialNumbers(
            blocks: blocks.capacity, isRepeated: condition != nil, hasLogitSums: blocks.logitSums != nil
        ).launch(
            programs: layer.tokens,
            [
                "sums": blocks.sums, "stored sums": blocks.stored, "maxima": blocks.maxima,
                "condition": condition, "found": numbers, "sums of logits": blocks.logitSums,
            ])
    }

    /// Last step: the labels' own e, where they are here, and what was found of each token.
    ///
    /// - Parameter found: the numbers of all ranks after the third step.
    package func result(_ found: NDArray) throws -> LabelExponentials.Result {
        func floats() throws -> NDArray { try NDArray(empty: [layer.tokens], device: e.device) }
        let wantsSums = layer.options.wantsLogitSums
        let (nll, total) = (try floats(), try floats())
        let logitSums = wantsSums ? try floats() : nil
        try SharedTotals(
            ranks: found.shape[0], dtype: e.dtype, labels: layer.labels.dtype, hasLogitSums: wantsSums
        ).launch(
            programs: layer.tokens,
            [
                "found": found, "labels": layer.labels, "shift": shift, "of label": ofLabel,
                "exponentials": e, "nll": nll, "total": total, "sum of logits": logitSums,
            ], scalars: ["first class": .index(layer.first)])
        return LabelExponentials.Result(nll: nll, total: total, logitSums: logitSums)
    }
}
