package import LigerRuntime

/// What a backward pass computes again from what is kept, instead of keeping it too. Losses and gradients have
/// the same bits whichever is chosen: the same kernels see the same numbers.
public enum Recomputation: String, Sendable, Hashable, CaseIterable, Codable {
    /// Nothing.
    case none
    /// Everything within a decoder block but the block's input: least memory, a third more work (Chen and
    /// others, 2016).
    case blocks
    /// Outputs of the fused norms and of the fused feed-forward gate, which one pass over memory gives: a few
    /// hundredths more work.
    case selective
}

/// A value that a derivative needs: kept, or a way to compute it again.
package struct Saved {
    private enum Source {
        case kept(NDArray)
        case recipe(Recipe)
    }

    private let source: Source

    init(_ tensor: Tensor) { source = tensor.recipe.map { .recipe($0) } ?? .kept(tensor.value) }

    /// The value. Computed at most once for all who save it, and kept until the last of them is done.
    package func array() throws -> NDArray {
        switch source {
        case .kept(let array): array
        case .recipe(let recipe): try recipe.array()
        }
    }
}

/// How the result of an operation is computed again.
final class Recipe {
    private let compute: () throws -> NDArray
    private var result: NDArray?

    init(_ compute: @escaping () throws -> NDArray) { self.compute = compute }

    func array() throws -> NDArray {
        if let result { return result }
        let computed = try compute()
        result = computed
        return computed
    }
}

extension Tensor {
    /// What a derivative should capture in the place of `value`.
    package var saved: Saved { Saved(self) }
}

extension Tape {
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
