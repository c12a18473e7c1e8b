import LigerKernels
public import LigerRuntime
import Tile

// The gradients of a linear layer, as g, the logits' gradient of a chunk, adds to them. A product goes straight into a
// gradient where it can be rounded right away. In f16 it cannot: it is made for some rows at a time in fp32, and they
// are rounded by what they hold (`GradientRounding`).

/// What the rows of f16 gradients still have to be multiplied by, in addition to the upstream gradient: f32, a number for each
/// row. Nil for gradients of other types and where scales were not asked for.
public struct LinearScales: Sendable {
    /// [tokens].
    public var input: NDArray?
    /// [V].
    public var weight: NDArray?
    /// [1]: the bias is one row.
    public var bias: NDArray?
}

/// dx = g W, chunk by chunk.
struct InputGradient {
    private let dtype: DType
    private let weight: NDArray
    private let values: NDArray
    /// What products are rounded by, and made in before; nil where they go straight into the values.
    private let rounded: (by: GradientRounding, product: NDArray)?

    /// - Parameters:
    ///   - input: x as it is multiplied.
    ///   - dtype: its type before that.
    ///   - product: [rows, H], f32; nil where nothing is f16.
    ///   - isRounded: whether products go by way of it.
    ///   - isApart: whether scales of f16 rows are kept.
    init(
        like input: NDArray, dtype: DType, weight: NDArray, product: NDArray?, isRounded: Bool, isApart: Bool
    ) throws {
        self.dtype = dtype
        self.weight = weight
        // Of an input that was narrowed to be multiplied the product is not.
        let stored = isRounded || dtype == .f32 ? dtype : input.dtype
        values = try .unset(input.shape, stored, tokens: input.shape[0], input.device)
        rounded =
            isRounded
            ? try product.map {
                let rounding = try GradientRounding(
                    rows: input.shape[0], dtype: dtype, isApart: isApart, on: input.device)
                return (rounding, $0)
            } : nil
    }

    /// [tokens], f32.
    var scales: NDArray? { rounded?.by.scales }

    /// - Parameter x: the pieces' rows of x; where they were gathered nobody needs them any more.
    func add(_ gradient: LogitGradient, _ pieces: [Range<Int>], gathered x: NDArray) throws {
        if let rounded { return try add(gradient, pieces, rounded.by, rounded.product) }
        if pieces.count == 1 {
            return try self.multiply(gradient, into: values.sliced(0, pieces[0]))
        }
        let isGathered = x.dtype == values.dtype
        func multiply(_ rows: Range<Int>, into target: NDArray) throws {
            try self.multiply(gradient.sliced(rows), into: target)
        }
        if isGathered { try multiply(0..<x.shape[0], into: x) }
        var start = 0
        for piece in pieces {
            let rows = start..<(start + piece.count), target = values.sliced(0, piece)
            if isGathered {
                try x.sliced(0, rows).copyBytes(to: target)
            } else {
                try multiply(rows, into: target)
            }
            start += piece.count
        }
    }

    private func multiply(_ gradient: LogitGradient, into target: NDArray) throws {
        if GradientProducts.areBetter(gradient.values, weight) {
            return try GradientProducts.input(
                gradient.values, weight, factors: gradient.scales, into: target)
        }
        _ = try MatMul.apply(gradient.values, weight, into: target)
        if let factors = gradient.scales { try CrossEntropy.scale(target, by: factors) }
    }

    private func add(
        _ gradient: LogitGradient, _ pieces: [Range<Int>], _ rounding: GradientRounding, _ product: NDArray
    ) throws {
        var start = 0
        for rows in pieces.flatMap({ $0.parts(of: product.shape[0]) }) {
            let (part, g) = (product.sliced(0, 0..<rows.count), gradient.sliced(start..<(start + rows.count)))
            _ = try MatMul.apply(g.values, weight, into: part)
            try rounding.apply(part, into: values.sliced(0, rows), rows: rows, factor: g.scales)
            start += rows.count
        }
    }

    func finished() throws -> NDArray { try Cast.apply(values, to: dtype) }
}

/// dW = sum of g^T x over chunks.
struct WeightGradient {
    private let values: Values
    private let rounding: GradientRounding
    /// Of x, where g is over scales; sums are then over its scale.
    private let weighted: WeightedRows?
    private let isApart: Bool

    private enum Values {
        /// Products are added to the gradient itself.
        case own(NDArray)
        /// As above, rounded by way of a product in fp32, rows over scales until all chunks are there.
        case rounded(NDArray, product: NDArray)
        case sums(WeightSums)
    }

    /// - Parameters: as for the input's gradient.
    init(
        like weight: NDArray, tokens: Int, separatesSums: Bool, product: NDArray?, weighted: WeightedRows?,
        isApart: Bool
    ) throws {
        if separatesSums {
            values = .sums(try WeightSums(like: weight))
        } else {
            let own = try NDArray.unset(weight.shape, weight.dtype, tokens: tokens, weight.device)
            values =
                product.map { weight.dtype == .f16 ? .rounded(own, product: $0) : .own(own) } ?? .own(own)
        }
        self.isApart = isApart
        self.weighted = weighted
        rounding = try GradientRounding(
            rows: weight.shape[0], dtype: weight.dtype, isApart: isApart || !separatesSums, on: weight.device)
    }

    /// [V], f32.
    var scales: NDArray? { isApart ? rounding.scales : nil }

    func add(_ gradient: LogitGradient, _ x: NDArray, isFirst: Bool) throws {
        let g = gradient.values
        let x = try gradient.scales.flatMap { try weighted?.apply(x, scales: $0) } ?? x
        switch values {
        case .own(let own):
            try Self.multiply(g, x, into: own, accumulate: !isFirst)
        case .rounded(let own, let product):
            for rows in (0..<own.shape[0]).parts(of: product.shape[0]) {
                let part = product.sliced(0, 0..<rows.count)
                _ = try MatMul.apply(g.sliced(1, rows), x, transposeA: true, into: part)
                try rounding.apply(
                    part, into: own.sliced(0, rows), rows: rows, factor: factor, accumulate: !isFirst)
            }
        case .sums(let sums):
            if let change = weighted?.scale?.takeChange() { try sums.scale(by: change) }
            try sums.add(g, x, accumulate: !isFirst)
        }
    }

    /// A product or a sum of products, by whoever is faster.
    static func multiply(_ g: NDArray, _ x: NDArray, into dW: NDArray, accumulate: Bool) throws {
        if GradientProducts.areBetter(g, x) {
            return try GradientProducts.weight(g, x, into: dW, accumulate: accumulate)
        }
        _ = try MatMul.apply(g, x, transposeA: true, into: dW, accumulate: accumulate)
    }

    /// What sums have to be multiplied by.
    private var factor: NDArray? { weighted?.scale?.value }

    /// - Parameter scratch: memory that is free by now.
    func finished(scratch: Buffer) throws -> NDArray {
        switch values {
        case .sums(let sums): return try sums.rounded(rounding, factor: factor, scratch: scratch)
        case .own(let own): return own
        case .rounded(let own, _):
            if !isApart, let scales = rounding.scales { try CrossEntropy.scale(own, by: scales) }
            return own
        }
    }
}

/// db = sum of g over tokens.
struct BiasGradient {
    private let dtype: DType
    /// [V], f32.
    private let sums: NDArray
    private let rounding: GradientRounding

    /// - Parameters: as for the input's gradient.
    init(like bias: NDArray, tokens: Int, isApart: Bool) throws {
        dtype = bias.dtype
        sums = try .unset(bias.shape, .f32, tokens: tokens, bias.device)
        rounding = try GradientRounding(rows: 1, dtype: dtype, isApart: isApart, on: bias.device)
    }

    /// [1], f32.
    var scales: NDArray? { rounding.scales }

    func add(_ g: LogitGradient, isFirst: Bool) throws {
        try ColumnSum.apply(g.values, weights: g.scales, into: sums, accumulate: !isFirst)
    }

    func finished() throws -> NDArray {
        if dtype == .f32 { return sums }
        let bias = try NDArray(empty: sums.shape, dtype: dtype, device: sums.device)
        try rounding.apply(sums.rows, into: bias.rows, rows: 0..<1)
        return bias
    }
}

extension NDArray {
    /// Not set, but zeros where no chunk will write it.
    fileprivate static func unset(
        _ shape: [Int], _ dtype: DType, tokens: Int, _ device: Device
    ) throws -> NDArray {
        tokens == 0
            ? try NDArray.zeros(shape, dtype: dtype, device: device)
            : try NDArray(empty: shape, dtype: dtype, device: device)
    }
}

extension Range<Int> {
    /// This range cut into parts of a length; the last one may be shorter.
    fileprivate func parts(of length: Int) -> [Range<Int>] {
        stride(from: lowerBound, to: upperBound, by: length).map { $0..<Swift.min($0 + length, upperBound) }
    }
}
