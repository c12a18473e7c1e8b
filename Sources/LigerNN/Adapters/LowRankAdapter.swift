import LigerKernels
import LigerRuntime
import Tile

/// What is learned in the place of a frozen weight W [outputs, inputs]: two thin factors, A [rank, inputs] and
/// B [outputs, rank] (Hu and others, 2021),
///
///     y = x W^T + s dropout(x) A^T B^T
///
/// and with DoRA the rows' lengths m [outputs] too, whose direction the factors change:
///
///     y = m / |W + s B A| (x W^T + s x A^T B^T)    with |·| row by row, taken as constant by the gradient
///
/// The weight's gradient is not computed. For the backward pass stay x, once for all layers that read it, and
/// s x A^T [rows, rank]; with DoRA the product before it is scaled, [rows, outputs], too.
package final class LowRankAdapter {
    /// The layer's name.
    package let name: String
    /// A: starts uniform within 1 / sqrt(inputs), as PEFT's.
    package let down: Parameter
    /// B: starts at 0, so that an adapter changes nothing at first.
    package let up: Parameter
    /// m: starts at the lengths of W's rows; nil without DoRA.
    package let magnitude: Parameter?
    /// s.
    package let scale: Float
    private let products: LinearProducts
    private var weight: Parameter { products.weight }
    /// What `training` says in a pass that drops inputs.
    private let makeDropout: () -> Dropout?

    /// An adapter without memory.
    init(_ slot: AdapterSlot, _ options: LowRankOptions, dropout: @escaping () -> Dropout?) {
        let (outputs, inputs) = (slot.weight.shape[0], slot.weight.shape[1])
        func parameter(
            _ part: String, _ shape: [Int], _ start: Parameter.Initialisation, decays: Bool = true
        ) -> Parameter {
            Parameter(
                "\(slot.name).\(part)", shape, dtype: slot.weight.dtype, initialisation: start, decays: decays
            )
        }
        name = slot.name
        guard let products = slot.products else { preconditionFailure("a linear layer") }
        self.products = products
        scale = options.scale
        down = parameter(
            "lora_A.weight", [options.rank, inputs], .uniform(bound: 1 / Float(inputs).squareRoot()))
        up = parameter("lora_B.weight", [outputs, options.rank], .constant(0))
        magnitude =
            options.isWeightDecomposed
            ? parameter("lora_magnitude_vector", [outputs], .constant(1), decays: false) : nil
        makeDropout = dropout
    }

    /// A, B and, with DoRA, m.
    package var parameters: [Parameter] { [down, up] + [magnitude].compactMap { $0 } }

    /// Sets the factors to their random start, and m to the lengths of the weight's rows.
    func initialise(seed: UInt64, stream: UInt32) throws {
        try down.initialise(seed: seed, stream: stream)
        try up.initialise(seed: seed, stream: stream)
        guard let magnitude else { return }
        try Elementwise.copyRows(weight.rowNorms().asColumn, into: magnitude.value.asColumn)
    }

    /// [rows, outputs] for x [rows, inputs]; the layer's bias comes afterwards.
    ///
    /// - Parameter part: of a block, by whose recomputation the sum of products is computed again. The narrow product is
    ///   kept in any case, so that nothing is drawn again.
    func callAsFunction(_ input: LinearInput, part: RecomputedParts? = nil) throws -> Tensor {
        precondition(!weight.requiresGradient, "an adapted weight is frozen")
        let x = input.tensor
        let tape = x.tape
        let (a, b) = (tape.tensor(of: down), tape.tensor(of: up))
        let dropout = makeDropout()
        let read = try dropout.map { try $0.applied(to: x.value) } ?? x.value
        let narrow = try MatMul.apply(read, a.value, transposeB: true, alpha: scale)
        let (saved, products, down, up, scale) = (x.saved, products, a.saved, b.saved, scale)
        let added = { (y: NDArray) in
            try MatMul.apply(narrow, up.array(), transposeB: true, into: y, accumulate: true)
        }
        let operations = 2 * Double(x.shape[0]) * Double(weight.count + b.value.count)
        let recipe = tape.recipe(part, operations: operations) {
            try added(products.product(of: saved.array()))
        }
        let needsInput = x.requiresGradient
        let y = try added(products.product(input))
        let sum = tape.record(y, from: [x, x, a, b], recipe: recipe) { upstream in
            let dy = upstream.array
            let dNarrow = try MatMul.apply(dy, up.array(), alpha: scale)
            let again = try saved.array()
            return [
                needsInput ? .product(try products.inputTerm(dy)) : .none,
                needsInput ? try Self.inputTerm(dNarrow, down.array(), dropout) : .none,
                .product(
                    MatrixTerm(
                        dNarrow, try dropout.map { try $0.applied(to: again) } ?? again, transposeA: true)),
                .product(MatrixTerm(dy, narrow, transposeA: true)),
            ]
        }
        return try magnitude.map { try sum.scaled(rows: $0, norms: adaptedRowNorms()) } ?? sum
    }

    private static func inputTerm(
        _ dNarrow: NDArray, _ down: NDArray, _ dropout: Dropout?
    ) throws -> Contribution {
        guard let dropout else { return .product(MatrixTerm(dNarrow, down)) }
        return .array(try dropout.applied(to: try MatMul.apply(dNarrow, down)))
    }

    /// Adds s B A to the weight, in place: the layer then does without the adapter what it did with it. With DoRA the
    /// rows are scaled too.
    func merge() throws {
        let norms = try magnitude.map { _ in try adaptedRowNorms() }
        _ = try MatMul.apply(up.value, down.value, into: weight.value, alpha: scale, accumulate: true)
        guard let magnitude, let norms else { return }
        try weight.value.scaleRows(by: magnitude.value, over: norms)
    }

    /// The lengths of the rows of W + s B A, [outputs], f32.
    private func adaptedRowNorms() throws -> NDArray {
        try weight.rowNorms(adding: (up.value, down.value, scale))
    }
}
