import LigerKernels
import LigerRuntime
import Tile

/// An input of linear layers. What several layers need of it in 8 bits is made once.
final class LinearInput {
    /// [rows, inputs].
    let tensor: Tensor
    private var rows: Float8Factor?
    private var columns: Float8Columns?

    init(_ tensor: Tensor) { self.tensor = tensor }

    /// Rounded to e4m3, for the forward pass.
    func float8() throws -> Float8Factor {
        if let rows { return rows }
        let made = try Float8Factor(rounding: tensor.value.contiguous(), to: .e4m3)
        rows = made
        return made
    }

    /// The same transposed, for the backward pass: one byte an element is kept in the place of the input. Where the input
    /// is computed again, so is this.
    func float8Columns() throws -> Float8Columns {
        if let columns { return columns }
        let made =
            tensor.recipe == nil
            ? Float8Columns(made: try float8().transposed()) : Float8Columns(of: tensor.saved)
        columns = made
        return made
    }
}

/// A transposed input in 8 bits, for all layers that read it.
final class Float8Columns {
    private let input: Saved?
    private var made: Float8Factor?

    init(made: Float8Factor) { (input, self.made) = (nil, made) }

    /// - Parameter input: computed again at the first use.
    init(of input: Saved) { self.input = input }

    func factor() throws -> Float8Factor {
        if let made { return made }
        guard let input else { preconditionFailure("made, or from an input") }
        let factor = try Float8Factor(rounding: input.array().contiguous(), to: .e4m3).transposed()
        made = factor
        return factor
    }
}

extension NDArray {
    /// This matrix, or a copy of it whose rows are side by side.
    func contiguous() throws -> NDArray {
        if isContiguous { return self }
        let copy = try NDArray(empty: shape, dtype: dtype, device: device)
        try Elementwise.copyRows(self, into: copy)
        return copy
    }
}
