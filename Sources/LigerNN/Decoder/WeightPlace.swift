package import LigerRuntime

/// Weights that are elsewhere until layers use them.
package protocol GatheredWeights: AnyObject {
    /// Has the weights here when it returns, for what a device is handed afterwards.
    func open(_ pass: WeightPlace.Pass) throws
    /// They are no longer used.
    func close(_ pass: WeightPlace.Pass) throws
}

/// A head whose classes are spread over ranks.
package protocol SpreadClasses: AnyObject {
    /// Cross entropy of the labels [tokens] of this rank, summed and divided by the normaliser, or their mean for nil. All
    /// ranks call it at a time, with as many tokens each.
    func loss(
        _ x: Tensor, _ labels: NDArray, _ options: LossOptions, normaliser: NDArray?
    ) throws -> Tensor
}

/// A place in a decoder whose layers use weights of their own. Where those are elsewhere, they come before the layers'
/// forward pass, go after it, and come once more for the backward pass.
package final class WeightPlace {
    /// On whose behalf weights come.
    package enum Pass: Sendable {
        /// A forward pass, of which a backward pass follows or not.
        case forward(recording: Bool)
        case backward
    }

    /// Nil where the weights are always there.
    package var weights: (any GatheredWeights)?
    /// Of a head whose classes are spread over ranks; nil where every rank has all.
    package var classes: (any SpreadClasses)?

    /// Does `body`, which uses the weights.
    ///
    /// - Parameter again: whether its derivative uses them too.
    func using<Result>(on tape: Tape, again: Bool, _ body: () throws -> Result) throws -> Result {
        guard let weights else { return try body() }
        let pass = Pass.forward(recording: tape.isRecording)
        try weights.open(pass)
        if again { tape.whenPassed { try weights.close(.backward) } }
        let result = try body()
        if again { tape.whenPassed { try weights.open(.backward) } }
        try weights.close(pass)
        return result
    }
}

extension Decoder {
    /// Places in the order of a forward pass, with what each uses that may be elsewhere; all other weights must be there.
    package var places: [(place: WeightPlace, parameters: [Parameter])] {
        [(start, [embedding.weight] + [positions?.weight].compactMap { $0 })]
            + blocks.map { ($0.place, $0.parameters) } + [(head.place, [head.weight])]
    }
}
