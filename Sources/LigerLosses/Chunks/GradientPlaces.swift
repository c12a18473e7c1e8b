import LigerKernels
import LigerRuntime
import Tile

/// Where exponentials of all tokens lie while the weight's gradient is made of them: as many as can be, in the memory of that
/// gradient, which is written as they are used up. No sums over chunks are needed then.
///
/// Classes are cut into n pieces of c. Of T tokens and H columns piece j takes T c elements, and its rows of the gradient H c,
/// at H c j. These are written from the last piece to the first. The first s pieces lie apart, as one matrix, and piece j of
/// the others at T c (j - s). It must end where its own rows begin, so that none is written over before it is used:
///
///     T (j - s + 1) <= H j        for s <= j < n
///
/// which is linear in j: it must hold of the first and of the last of them.
package struct GradientPlaces: Hashable, Sendable {
    package struct Piece: Hashable, Sendable {
        package let classes: Range<Int>
        /// The first element in the gradient's memory; nil for the piece that lies apart.
        package let offset: Int?
    }

    /// In the order of classes; the first lies apart.
    package let pieces: [Piece]
    /// Elements from one row of a piece to the next are a multiple of this.
    private static let line = 64
    /// Less memory than this is not worth further launches.
    package static let leastBytes = 256 << 20

    /// Nil where too little would lie in the gradient.
    ///
    /// - Parameters:
    ///   - layer: its weight and the logits' gradient are of one type.
    ///   - leastBytes: what exponentials must take.
    package init?(_ layer: LinearShape, leastBytes: Int = Self.leastBytes) {
        let (tokens, hidden, classes) = (layer.tokens, layer.hidden, layer.vocabulary)
        guard layer.isExponential, layer.gradient == layer.weight,
            tokens > 0, tokens * classes * layer.weight.byteCount >= leastBytes
        else { return nil }
        let each = Self.classesOfPiece(classes, count: tokens > hidden ? 16 : 8)
        let count = (classes + each - 1) / each
        let fits = { (apart: Int) in
            tokens <= hidden * apart && tokens * (count - apart) <= hidden * (count - 1)
        }
        guard let apart = (1..<max(count, 1)).first(where: fits) else { return nil }
        let others = (apart..<count).map { number in
            Piece(
                classes: (number * each)..<min((number + 1) * each, classes),
                offset: tokens * each * (number - apart))
        }
        pieces = [Piece(classes: 0..<(apart * each), offset: nil)] + others
    }

    /// Whole blocks of an exponential product. Long pieces are rounded to more, which leaves fewer multiprocessors without
    /// work at the end of each.
    private static func classesOfPiece(_ classes: Int, count: Int) -> Int {
        let even = (classes + count - 1) / count
        let unit = even >= 6144 ? 2048 : even >= 256 ? 256 : line
        return (even + unit - 1) / unit * unit
    }

    /// Elements that lie apart.
    package func apartCount(tokens: Int) -> Int { tokens * pieces[0].classes.count }

    /// Arrays for them, of the gradient's type.
    func arrays(in gradient: NDArray, tokens: Int) throws -> [LabelExponentials.Piece] {
        try pieces.map { piece in
            let classes = piece.classes.count, pitch = (classes + Self.line - 1) / Self.line * Self.line
            let buffer =
                piece.offset == nil
                ? try Buffer(
                    byteCount: tokens * pitch * gradient.dtype.byteCount, device: gradient.device)
                : gradient.buffer
            let e = NDArray(
                buffer: buffer, offset: piece.offset ?? 0, shape: [tokens, classes], strides: [pitch, 1],
                dtype: gradient.dtype)
            return LabelExponentials.Piece(classes: piece.classes, e: e)
        }
    }
}

extension ChunkPlan {
    /// This plan; or all tokens in one chunk with exponentials in the memory of the weight's gradient, where that takes no
    /// more memory.
    func orInGradient(of layer: LinearShape, needs: LinearNeeds, lossBytes: Int) -> ChunkPlan {
        guard let placed = ChunkPlan(inGradientOf: layer, needs: needs, lossBytes: lossBytes),
            placed.peakBytes <= peakBytes
        else { return self }
        return placed
    }

    /// All tokens at once, with exponentials in the memory of the weight's gradient; nil where that cannot be.
    package init?(
        inGradientOf layer: LinearShape, needs: LinearNeeds, lossBytes: Int,
        leastBytes: Int = GradientPlaces.leastBytes
    ) {
        guard needs.contains(.weight), layer.inputGradient != .f16, layer.weight != .f16,
            let places = GradientPlaces(layer, leastBytes: leastBytes)
        else { return nil }
        let rows = max(1, min(layer.tokens, (64 << 20) / (4 * layer.hidden)))
        self.init(
            places, layer, productRows: needs.contains(.input) ? rows : 0, lossBytes: lossBytes)
    }
}
