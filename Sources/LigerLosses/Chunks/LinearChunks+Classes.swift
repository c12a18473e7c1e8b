import LigerKernels
import LigerRuntime
import Tile

/// How the backward pass of a loss over logits is cut where the loss has seen all of a row before: into blocks of classes,
/// for all tokens. Each block of the weight's gradient is one product, so only the input's gradient is summed, in fp32.
struct ClassPlan: Hashable {
    /// The classes of each block.
    let ranges: [Range<Int>]

    /// Classes of a product's tile: blocks are multiples of it.
    private static let tile = 256

    /// What a block's logits take where no budget is given. Longer blocks gain nothing: each product is some thousands of
    /// tiles by then.
    static let defaultBytes = 256 << 20

    /// Nil where the budget holds less than a tile's classes of all tokens.
    init?(tokens: Int, classes: Int, elementBytes: Int, budgetBytes: Int) {
        let tiles = (classes + Self.tile - 1) / Self.tile
        let most = min(tiles, budgetBytes / (min(Self.tile, classes) * elementBytes * max(tokens, 1)))
        guard tokens > 0, most > 0 else { return nil }
        // Blocks of one length, as far as possible.
        let blocks = (tiles + most - 1) / most, step = (tiles + blocks - 1) / blocks * Self.tile
        ranges = stride(from: 0, to: classes, by: step).map { $0..<min($0 + step, classes) }
    }
}

extension LinearChunks {
    /// Runs the backward pass of a loss over blocks of classes.
    ///
    /// - Parameters:
    ///   - needs: not the bias; of a layer without one.
    ///   - body: gets the layer's input, the weights of a block of classes, and which these are. Sets the gradient of their
    ///     logits, [tokens, classes of the block].
    /// - Returns: the needed gradients, like what they belong to.
    func run(
        _ plan: ClassPlan, needs: LinearNeeds,
        _ body: (_ x: NDArray, _ weight: NDArray, _ gradient: NDArray, _ classes: Range<Int>) throws -> Void
    ) throws -> Gradients {
        let device = input.device, isOneBlock = plan.ranges.count == 1
        let widest = plan.ranges.map(\.count).max() ?? 0
        let buffer = try LogitStorage.array(input.shape[0], widest, shape.gradient, on: device)
        let stored = isOneBlock && inputType != .f32 ? input.dtype : .f32
        let dInput =
            needs.contains(.input) ? try NDArray(empty: input.shape, dtype: stored, device: device) : nil
        let dWeight =
            needs.contains(.weight)
            ? try NDArray(empty: weight.shape, dtype: weight.dtype, device: device) : nil
        for (block, classes) in plan.ranges.enumerated() {
            let (own, g) = (weight.sliced(0, classes), buffer.sliced(1, 0..<classes.count))
            try body(input, own, g, classes)
            if let dInput { try add(g, own, to: dInput, accumulate: block > 0) }
            if let dWeight {
                try WeightGradient.multiply(g, input, into: dWeight.sliced(0, classes), accumulate: false)
            }
        }
        return Gradients(input: try dInput.map { try Cast.apply($0, to: inputType) }, weight: dWeight)
    }

    /// dx = g W, or dx + g W, of some classes.
    func add(_ g: NDArray, _ weight: NDArray, to dInput: NDArray, accumulate: Bool) throws {
        if GradientProducts.areBetter(g, weight) {
            return try GradientProducts.input(g, weight, factors: nil, into: dInput, accumulate: accumulate)
        }
        _ = try MatMul.apply(g, weight, into: dInput, accumulate: accumulate)
    }
}
