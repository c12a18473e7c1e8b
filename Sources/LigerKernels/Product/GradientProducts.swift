package import LigerRuntime
import Tile

/// The products of a linear layer's backward pass by kernels of ours, for gradients that the library multiplies slowly:
///
///     dx = s g W    or    dx + s g W        dW = g^T x    or    dW + g^T x
///
/// g [tokens, classes] are the logits' gradients and s, if given, a number for each of its rows. Sums are fp32 and rounded
/// once. The copy engine fills what a tile lacks at an odd number of classes with zeros, where the library takes kernels for
/// elements at any address: 8191x768x50257 took 9.3 ms that way on an H200.
///
/// Cost: 2 tokens classes hidden operations each, and no memory but the results.
package enum GradientProducts {
    /// Whether these are the better way: for matrices that the device's own kernels can take, where the classes are no
    /// multiple of 8.
    package static func areBetter(_ g: NDArray, _ factor: NDArray) -> Bool {
        g.shape[1] % 8 != 0 && LabelScores.isAvailable(g, factor)
    }

    /// - Parameters:
    ///   - g: [tokens, classes], bf16 or f16 on a GPU.
    ///   - weight: W, [classes, hidden], of one type with g.
    ///   - factors: s, [tokens], f32; nil for ones.
    ///   - dx: [tokens, hidden], of any type.
    ///   - accumulate: adds to what it holds.
    /// - Throws: `RuntimeError` if shapes or types do not fit.
    package static func input(
        _ g: NDArray, _ weight: NDArray, factors: NDArray?, into dx: NDArray, accumulate: Bool = false
    ) throws {
        try InputGradientProduct(
            columns: dx.shape[1], dtype: g.dtype, weight: weight.dtype, stored: dx.dtype,
            hasFactors: factors != nil, accumulates: accumulate,
            width: width(rows: dx.shape[0], columns: dx.shape[1])
        ).launch(programs: dx.shape[0], ["g": g, "weight": weight, "factors": factors, "dx": dx])
    }

    /// - Parameters:
    ///   - x: [tokens, hidden], of one type with g.
    ///   - dW: [classes, hidden], of any type.
    ///   - accumulate: adds to what it holds.
    /// - Throws: as above.
    package static func weight(_ g: NDArray, _ x: NDArray, into dW: NDArray, accumulate: Bool) throws {
        try WeightGradientProduct(
            columns: dW.shape[1], dtype: g.dtype, input: x.dtype, stored: dW.dtype, accumulates: accumulate,
            width: width(rows: dW.shape[0], columns: dW.shape[1])
        ).launch(programs: dW.shape[0], ["g": g, "x": x, "dw": dW])
    }

    /// The width of a tile with which the last of the multiprocessors is done first. A tile takes as long as its columns,
    /// and some more for the rows that it copies.
    private static func width(rows: Int, columns: Int) -> Int {
        func pieces(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }
        func time(_ width: Int) -> Int {
            pieces(pieces(rows, tileRows) * pieces(columns, width), multiprocessors) * (width + copiedColumns)
        }
        return [256, 192, 128].min { time($0) < time($1) } ?? 256
    }

    private static let tileRows = 128
    private static let copiedColumns = 32
    /// Of an H100 or H200.
    private static let multiprocessors = 132
}

/// dx = s g W, added to what is there where asked; one program a row and block of columns.
struct InputGradientProduct: TileKernel {
    let columns: Int
    let dtype: DType
    let weight: DType
    let stored: DType
    let hasFactors: Bool
    let accumulates: Bool
    let width: Int

    func body(_ p: Program) {
        let g = p.input("g", dtype, rank: 2), w = p.input("weight", weight, rank: 2)
        let factors = hasFactors ? p.input("factors", .f32, rank: 1) : nil
        let dx = accumulates ? p.update("dx", stored, rank: 2) : p.output("dx", stored, rank: 2)
        let c = p.blockOfColumns(of: dx, width: width, isWhole: columns % width == 0)

        var gradient = product(g.row(p.index), w.columns(c))
        if let factors { gradient = gradient * factors[p.index] }
        dx[p.index, c] = accumulates ? dx[p.index, c] + gradient : gradient
    }
}

/// dW = g^T x, added to what is there where asked; one program a row and block of columns.
struct WeightGradientProduct: TileKernel {
    let columns: Int
    let dtype: DType
    let input: DType
    let stored: DType
    let accumulates: Bool
    let width: Int

    func body(_ p: Program) {
        let g = p.input("g", dtype, rank: 2), x = p.input("x", input, rank: 2)
        let dw = accumulates ? p.update("dw", stored, rank: 2) : p.output("dw", stored, rank: 2)
        let c = p.blockOfColumns(of: dw, width: width, isWhole: columns % width == 0)

        let gradient = product(g.column(p.index), x.columns(c))
        dw[p.index, c] = accumulates ? dw[p.index, c] + gradient : gradient
    }
}
