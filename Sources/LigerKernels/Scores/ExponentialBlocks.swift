package import LigerRuntime
import Tile

/// A chunk of tokens for which exponentials of some classes' logits are made, and what blocks of these come to.
package struct ExponentialBlocks {
    /// Tokens, and the classes that are here.
    package struct Layer {
        /// [tokens, hidden], and [classes, hidden]; both of one type.
        package let x, weight: NDArray
        /// [tokens], i64 or i32: of all classes, or the ignored one.
        package let labels: NDArray
        /// The number of the first class that is here.
        package let first: Int
        package let options: LabelExponentials.Options

        /// - Throws: `RuntimeError` if shapes or types do not fit together.
        package init(
            _ x: NDArray, weight: NDArray, labels: NDArray, first: Int = 0,
            options: LabelExponentials.Options
        ) throws {
            try LabelScores.check(x, weight, labels)
            (self.x, self.weight, self.labels, self.first, self.options) = (
                x, weight, labels, first, options
            )
        }

        package var tokens: Int { x.shape[0] }

        /// The labels' logits, [tokens], f32; 0 where the label is not here.
        ///
        /// - Parameter shift: set to the same, and to infinity where the label counts for nothing; nil where that is not known
        ///   here.
        func labelLogits(shift: NDArray?) throws -> NDArray {
            let ofLabel = try NDArray(empty: [tokens], device: x.device)
            try LabelLogits(
                columns: x.shape[1], dtype: x.dtype, labels: labels.dtype, options: options,
                hasShift: shift != nil
            ).launch(
                programs: tokens,
                ["x": x, "weight": weight, "labels": labels, "of label": ofLabel, "shift": shift],
                scalars: ["first class": .index(first)])
            return ofLabel
        }
    }

    private let layer: Layer
    private let cut: ClassBlocks
    /// [tokens, classes], f32 or bf16.
    private let e: NDArray
    /// [tokens, blocks], f32: of each block the largest logit, the sum of its exponentials, the same as they are stored,
    /// and the sum of its logits where that is asked for.
    let maxima, sums, stored: NDArray
    let logitSums: NDArray?

    /// - Throws: `RuntimeError` if shapes or types do not fit, or memory runs out.
    init(_ layer: Layer, into e: NDArray) throws {
        let shape = [layer.tokens, layer.weight.shape[0]]
        try e.expect("the exponentials", shape: shape, dtype: e.dtype == .f32 ? .f32 : .bf16)
        (self.layer, self.e, cut) = (layer, e, ClassBlocks(shape[1]))
        let perBlock = [shape[0], cut.count]
        func floats() throws -> NDArray { try NDArray(empty: perBlock, device: e.device) }
        (maxima, sums, stored) = (try floats(), try floats(), try floats())
        logitSums = layer.options.wantsLogitSums ? try floats() : nil
    }

    /// What a kernel that goes over a token's blocks must have room for.
    var capacity: Int { LigerKernels.capacity(for: cut.count, atLeast: 32) }

    /// Sets e, and what its blocks come to.
    ///
    /// - Parameters:
    ///   - shift: [tokens], f32; infinity makes a row of zeros.
    ///   - condition: one f32 on the device: where it is 0 nothing is done.
    func multiply(shift: NDArray, onlyIf condition: NDArray? = nil) throws {
        for part in cut.parts {
            func own(_ array: NDArray?) -> NDArray? { array?.sliced(1, part.blocks) }
            try BlockExponentials(
                dtype: layer.x.dtype, stored: e.dtype, labels: layer.labels.dtype,
                temperature: layer.options.temperature, hasLogitSums: logitSums != nil,
                isRepeated: condition != nil, width: part.width, isWhole: part.isWhole
            ).launch(
                programs: layer.tokens,
                [
                    "x": layer.x, "weight": layer.weight.sliced(0, part.classes), "labels": layer.labels,
                    "shift": shift, "condition": condition, "exponentials": e.sliced(1, part.classes),
                    "maxima": own(maxima), "sums": own(sums), "stored sums": own(stored),
                    "sums of logits": own(logitSums),
                ], scalars: ["first class": .index(layer.first + part.classes.lowerBound)])
        }
    }
}
