package import LigerRuntime

/// What a backward pass computes again from what is kept, instead of keeping it too. Losses and gradients have
/// the same bits whichever is chosen: the same kernels see the same numbers. A `RecomputationPlan` chooses block by block.
public enum Recomputation: String, Sendable, Hashable, CaseIterable, Codable {
    /// Nothing.
    case none
    /// Everything within a decoder block but the block's input: least memory, a third more work (Chen and
    /// others, 2016).
    case blocks
    /// Outputs of the fused norms and of the fused feed-forward gate, which one pass over memory gives: a few
    /// hundredths more work.
    case selective

    /// What that is in a block.
    var parts: RecomputedParts {
        switch self {
        case .none: []
        case .blocks: .block
        case .selective: .elementwise
        }
    }
}

/// A value that a derivative needs: kept, or a way to compute it again.
package struct Saved {
    private enum Source {
        case kept(NDArray)
        case recipe(Recipe<NDArray>)
    }

    private let source: Source

    init(_ tensor: Tensor) { source = tensor.recipe.map { .recipe($0) } ?? .kept(tensor.value) }

    /// The value. Computed at most once for all who save it, and kept until the last of them is done.
    package func array() throws -> NDArray {
        switch source {
        case .kept(let array): array
        case .recipe(let recipe): try recipe.value()
        }
    }
}

/// How the result of an operation is computed again.
package final class Recipe<Value> {
    /// Nil once it ran: what it was computed from may go.
    private var compute: (() throws -> Value)?
    private var result: Value?
    /// Whether somebody else keeps the result for as long as it is needed.
    private let isKeptElsewhere: Bool

    convenience init(_ compute: @escaping () throws -> Value) { self.init(compute, isKeptElsewhere: false) }

    private init(_ compute: @escaping () throws -> Value, isKeptElsewhere: Bool) {
        self.compute = compute
        self.isKeptElsewhere = isKeptElsewhere
    }

    /// Of what is there, if only then, whenever it is asked for.
    static func asking(_ get: @escaping () throws -> Value) -> Recipe {
        Recipe(get, isKeptElsewhere: true)
    }

    func value() throws -> Value {
        if let result { return result }
        guard let compute else { preconditionFailure("a recipe that ran has a result") }
        let computed = try compute()
        if !isKeptElsewhere { (result, self.compute) = (computed, nil) }
        return computed
    }
}

extension Tensor {
    /// What a derivative should capture in the place of `value`.
    package var saved: Saved { Saved(self) }

    /// The same, of which derivatives keep the value.
    var kept: Tensor { Tensor(value, tape, origin) }

    /// How a cheap function of this value is computed again: from this value's own recipe. Where this value is kept there
    /// is none, for as many bytes would be kept either way.
    package func recipe(
        applying function: @escaping (NDArray) throws -> NDArray
    ) -> Recipe<NDArray>? {
        recipe.map { source in Recipe { try function(source.value()) } }
    }
}

extension Tape {
    /// Whether the results of a part of the block at hand are computed again.
    func repeats(_ part: RecomputedParts?) -> Bool { isRecording && (part.map(parts.contains) ?? false) }

    /// How the result of a part of the block at hand is computed again; nil where that is kept.
    ///
    /// - Parameters:
    ///   - part: nil for results that are always kept.
    ///   - operations: of products and attention in it.
    ///   - compute: the result, bit for bit, from what is `saved`.
    package func recipe<Value>(
        _ part: RecomputedParts?, operations: Double = 0, _ compute: @escaping () throws -> Value
    ) -> Recipe<Value>? {
        guard isRecording, let part else { return nil }
        if let block, operations > 0 { work?.note(part, block: block, operations) }
        return repeats(part) ? Recipe(compute) : nil
    }

    /// `body` of x, of which nothing is kept but x: the backward pass runs it again and then differentiates it.
    ///
    /// - Parameters:
    ///   - parameters: what `body` uses in addition to x.
    ///   - body: must compute the same each time, from x and parameters, on the tape of the x it is given.
    /// - Cost: `body` twice in all, and while it is differentiated the memory of one `body`.
    func recomputing(
        _ x: Tensor, _ parameters: [Parameter], _ body: @escaping (Tensor) throws -> Tensor
    ) throws -> Tensor {
        let isNeeded = x.requiresGradient || parameters.contains(where: \.requiresGradient)
        guard isRecording, isNeeded else { return try body(x) }
        let (input, needsInput) = (x.value, x.requiresGradient)
        let y = try body(Tape(recording: false).constant(input)).value
        return recordNeeded(y, from: [x]) { upstream in
            let tape = Tape()
            let leaf = Leaf(shape: input.shape, dtype: input.dtype)
            let result = try body(needsInput ? tape.tensor(of: leaf, input) : tape.constant(input))
            try tape.backward(result, upstream: upstream.array)
            return [leaf.gradient.map { .array($0) } ?? .none]
        }
    }
}
