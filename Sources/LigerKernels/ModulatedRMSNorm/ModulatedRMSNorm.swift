public import LigerRuntime
import Tile

/// Root mean square normalisation whose result is scaled and shifted by data, as in diffusion transformers (Peebles
/// and Xie, 2023: adaptive normalisation), over the last dimension:
///
///     n = RMSNorm(x)        y = n (1 + scale) + shift
///
/// Scale and shift have a row for each R consecutive rows of x: one for each, one for each sample, or one for all.
/// n is as `RMSNorm` rounds it; with Gemma's casting n is rounded to x's type before it is modulated. Arithmetic is in
/// fp32. Saved for the backward pass: x and, for each row, 1 / sqrt(mean(x^2) + eps), fp32.
/// Bytes moved: x read and y written once; backward x and dy read and dx written once; scale and shift once each.
public enum ModulatedRMSNorm {
    /// Gradients of a scalar.
    public struct Gradients: Sendable {
        /// Like x.
        public let dx: NDArray
        /// Like the weight, scale and shift; nil where not needed or where there is none.
        public let dweight, dscale, dshift: NDArray?
    }

    /// Which gradients a caller wants in addition to that of x.
    public struct Needs: Sendable, Hashable {
        /// The weight's.
        public var weight: Bool
        /// Those of scale and shift.
        public var modulation: Bool

        /// Needs; all where none is given.
        public init(weight: Bool = true, modulation: Bool = true) {
            self.weight = weight
            self.modulation = modulation
        }
    }

    /// y of x, and what the backward pass needs.
    ///
    /// - Parameters:
    ///   - x: [..., H], f32, bf16 or f16, contiguous.
    ///   - weight: [H], any of these types; nil scales by nothing.
    ///   - scale: [rows / R, H] for a whole R, any of these types, contiguous.
    ///   - shift: of the scale's shape; nil adds nothing.
    ///   - options: eps, offset and rounding, as for `RMSNorm`.
    /// - Returns: y like x; rstd [rows], f32.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func forward(
        _ x: NDArray, weight: NDArray?, scale: NDArray, shift: NDArray?,
        _ options: RMSNorm.Options = RMSNorm.Options()
    ) throws -> (y: NDArray, rstd: NDArray) {
        let rows = try x.asRows("x")
        let share = try rowsPerModulation(rows, weight, scale, shift)
        let y = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let rstd = try NDArray(empty: [rows.shape[0]], device: x.device)
        let kernel = ModulatedRMSNormForward(
            columns: rows.shape[1], dtype: x.dtype, weight: weight?.dtype, scale: scale.dtype,
            shift: shift?.dtype, casting: options.casting, offset: options.offset)
        try kernel.launch(
            programs: rows.shape[0],
            ["x": rows, "scale": scale, "y": y.rows, "rstd": rstd, "w": weight, "shift": shift],
            scalars: ["rows per modulation": .index(share), "eps": .float(options.eps)])
        return (y, rstd)
    }

    /// Gradients of a scalar, given its gradient with respect to y. With x̂ = x r and w the weight plus the offset:
    ///
    ///     m = dy (1 + scale) w    dx = r (m - x̂ mean(m x̂))    dw = Σ dy (1 + scale) x̂, over rows
    ///     dscale = Σ dy n    dshift = Σ dy, over the rows that share one
    ///
    /// - Parameters:
    ///   - dy: like x.
    ///   - x: as for `forward`.
    ///   - weight: as for `forward`.
    ///   - scale: as for `forward`.
    ///   - shift: as for `forward`.
    ///   - rstd: as `forward` returned it.
    ///   - options: as for `forward`.
    ///   - needs: which gradients are wanted.
    /// - Returns: the gradients, summed in fp32 in an order fixed by the number of rows.
    /// - Throws: `RuntimeError` if shapes do not fit or memory runs out.
    public static func backward(
        dy: NDArray, x: NDArray, weight: NDArray?, scale: NDArray, shift: NDArray?, rstd: NDArray,
        _ options: RMSNorm.Options = RMSNorm.Options(), needs: Needs = Needs()
    ) throws -> Gradients {
        let rows = try x.asRows("x"), columns = rows.shape[1]
        let share = try rowsPerModulation(rows, weight, scale, shift)
        try dy.expect("dy", shape: x.shape, dtype: x.dtype)
        try rstd.expect("rstd", shape: [rows.shape[0]], dtype: .f32)
        let cut = ModulationSplit(
            modulations: scale.shape[0], rowsEach: share, columns: columns, on: x.device)
        let kernel = ModulatedRMSNormBackward(
            columns: columns, dtype: x.dtype, weight: weight?.dtype, scale: scale.dtype,
            casting: options.casting, offset: options.offset, sumsWeight: needs.weight && weight != nil,
            dscale: needs.modulation ? cut.storage(of: scale) : nil,
            dshift: needs.modulation ? shift.map(cut.storage) : nil)
        let dx = try NDArray(empty: x.shape, dtype: x.dtype, device: x.device)
        let dw = kernel.sumsWeight ? try NDArray(empty: [cut.programs, columns], device: x.device) : nil
        let dscale = try kernel.dscale.map { try cut.partial(like: scale, $0) }
        let dshift = try kernel.dshift.map { try cut.partial(like: scale, $0) }
        try kernel.launch(
            programs: cut.programs,
            [
                "x": rows, "dy": try dy.asRows("dy"), "scale": scale, "rstd": rstd, "dx": dx.rows,
                "w": weight, "dw": dw, "dscale": dscale, "dshift": dshift,
            ],
            scalars: [
                "rows per modulation": .index(share), "pieces": .index(cut.pieces),
                "modulations per program": .index(cut.modulationsPerProgram),
                "rows per piece": .index(cut.rowsPerPiece),
            ])
        return Gradients(
            dx: dx, dweight: try dw.map { try ColumnSum.apply($0, dtype: weight?.dtype ?? .f32) },
            dscale: try dscale.map { try cut.summed($0, like: scale) },
            dshift: try dshift.map { try cut.summed($0, like: shift ?? scale) })
    }

    /// R: how many rows of x share a row of the scale.
    private static func rowsPerModulation(
        _ rows: NDArray, _ weight: NDArray?, _ scale: NDArray, _ shift: NDArray?
    ) throws -> Int {
        let (count, columns) = (rows.shape[0], rows.shape[1])
        try weight?.expectFloats("weight", shape: [columns])
        guard scale.dtype.isFloat, scale.isContiguous, scale.shape.count == 2, scale.shape[1] == columns,
            scale.shape[0] > 0, count % scale.shape[0] == 0
        else {
            throw RuntimeError(
                "scale must be f32, bf16 or f16 of shape [n, \(columns)], contiguous, where n divides the "
                    + "\(count) rows of x; found \(scale.dtype.rawValue) of shape \(scale.shape)")
        }
        try shift?.expectFloats("shift", shape: scale.shape)
        return count / scale.shape[0]
    }
}

/// How rows are cut among programs where sums are also wanted for each modulation: a program has one piece of the rows
/// of one modulation, or all rows of several. The cut depends on sizes and the device alone.
private struct ModulationSplit {
    let modulations: Int
    let pieces: Int
    let modulationsPerProgram: Int
    let rowsPerPiece: Int

    init(modulations: Int, rowsEach: Int, columns: Int, on device: Device) {
        self.modulations = modulations
        let most = device.partialSums(rowLength: columns)
        modulationsPerProgram = (modulations + most - 1) / most
        let wanted = max(1, min(rowsEach, most / modulations))
        rowsPerPiece = max(1, (rowsEach + wanted - 1) / wanted)
        pieces = max(1, (rowsEach + rowsPerPiece - 1) / rowsPerPiece)
    }

    var programs: Int { (modulations + modulationsPerProgram - 1) / modulationsPerProgram * pieces }

    /// The type that a program writes a modulation's sum in: the last one where it has all its rows.
    func storage(of x: NDArray) -> DType { pieces == 1 ? x.dtype : .f32 }

    /// [pieces, modulations, columns].
    func partial(like x: NDArray, _ dtype: DType) throws -> NDArray {
        try NDArray(empty: [pieces] + x.shape, dtype: dtype, device: x.device)
    }

    /// The pieces' sums in the order of their rows, like x.
    func summed(_ partial: NDArray, like x: NDArray) throws -> NDArray {
        if pieces == 1 { return partial.reshaped(x.shape) }
        return try ColumnSum.apply(partial.reshaped([pieces, x.count]), dtype: x.dtype).reshaped(x.shape)
    }
}
