import LigerKernels
import LigerRuntime
package import Tile

/// How a loss over the logits of a linear layer is cut into chunks of tokens, and the memory it takes,
/// known before it runs.
public struct ChunkPlan: Sendable, Hashable, CustomStringConvertible {
    /// Tokens of the whole batch.
    public let tokens: Int
    /// Tokens of a chunk; the last one may have fewer.
    public let chunkTokens: Int
    /// Chunks of the batch.
    public let chunks: Int
    /// Bytes of what every chunk's logits use, and their gradient where it does not overwrite them.
    public let logitsBytes: Int
    /// Bytes of fp32 sums that are not returned themselves.
    public let accumulatorBytes: Int
    /// Bytes of what f16 gradients are made by way of, an fp32 product and weighted rows of the input, and of the scales
    /// that come with them: 0 in other types.
    public let roundingBytes: Int
    /// The most bytes in use at a time in addition to the inputs and the returned gradients.
    public let peakBytes: Int
    /// Rows of such a product; 0 where no gradient needs one.
    let productRows: Int
    /// Where exponentials lie in the memory of the weight's gradient; nil where a chunk's logits have memory of their own.
    package let places: GradientPlaces?

    /// - Parameters:
    ///   - unit: tokens that must not be parted; a chunk has at least as many.
    ///   - budgetBytes: what a chunk's logits may take.
    ///   - lossBytes: what the loss holds in addition to the logits.
    package init(
        _ layer: LinearShape, needs: LinearNeeds, exact: Bool, unit: Int = 1, budgetBytes: Int, lossBytes: Int
    ) {
        let rowBytes = layer.rowBytes(needs)
        let units = layer.tokens / unit
        places = nil
        let most = Self.mostUnits(units, unit, budgetBytes / (rowBytes * unit), layer, needs, exact)
        tokens = layer.tokens
        // Chunks of one length, as far as possible, and of whole tiles of a product where they are long.
        let least = (units + most - 1) / most
        let even = least == 0 ? 0 : (units + least - 1) / least
        let whole = [256, 128].map { (even + $0 - 1) / $0 * $0 }.first { $0 <= most }
        let length = unit == 1 && even >= 512 ? whole ?? even : even
        chunks = length == 0 ? 0 : (units + length - 1) / length
        chunkTokens = length * unit
        logitsBytes = chunkTokens * rowBytes
        let separates = Self.separatesSums(layer.weight, exact, chunks: chunks)
        accumulatorBytes =
            (needs.contains(.weight) && separates
                ? WeightSums.byteCount(vocabulary: layer.vocabulary, hidden: layer.hidden) : 0)
            + (needs.contains(.bias) && Self.separatesBias(layer) ? 4 * layer.vocabulary : 0)
        // Rows of the gradients whose products are rounded by way of fp32.
        let rounded = (
            input: needs.contains(.input) && layer.roundsInput ? chunkTokens : 0,
            weight: needs.contains(.weight) && layer.weight == .f16 && !separates ? layer.vocabulary : 0
        )
        productRows = min(max(rounded.input, rounded.weight), layer.mostProductRows)
        roundingBytes =
            4 * layer.hidden * productRows
            + Self.scaleBytes(layer, needs, ofWeight: needs.contains(.scales) || rounded.weight > 0)
            + (layer.isScaled && needs.wantsGradients ? 4 * chunkTokens : 0)
            + (layer.isScaled && needs.contains(.weight)
                ? WeightedRows.byteCount(rows: chunkTokens, hidden: layer.hidden) : 0)
        let workspace =
            layer.gradient == .f32
            ? Self.workspaceBytes(
                layer, needs, chunkTokens,
                inputRows: rounded.input > 0 ? min(chunkTokens, productRows) : chunkTokens,
                weightRows: rounded.weight > 0 ? productRows : layer.vocabulary) : 0
        let partialBytes =
            layer.isExponential && needs.wantsGradients
            ? LabelExponentials.byteCount(tokens: chunkTokens, classes: layer.vocabulary) : 0
        peakBytes =
            logitsBytes + accumulatorBytes + roundingBytes + lossBytes + workspace + partialBytes
    }

    /// All tokens in one chunk.
    ///
    /// - Parameter productRows: rows of the input's gradient that are summed at a time.
    init(_ places: GradientPlaces, _ layer: LinearShape, productRows: Int, lossBytes: Int) {
        (tokens, chunkTokens, chunks) = (layer.tokens, layer.tokens, 1)
        (self.places, self.productRows, accumulatorBytes) = (places, productRows, 0)
        logitsBytes = places.apartCount(tokens: tokens) * layer.weight.byteCount
        // Sums of the input's gradient are gone when rows of the input are weighted.
        roundingBytes =
            4 * tokens
            + max(
                4 * layer.hidden * productRows,
                WeightedRows.byteCount(rows: tokens, hidden: layer.hidden))
        peakBytes =
            logitsBytes + roundingBytes + lossBytes
            + LabelExponentials.byteCount(
                tokens: tokens, classes: layer.vocabulary, pieces: places.pieces.count)
    }

    /// Units of a chunk: as many as a budget holds, and no more than are any good. Fp32 sums of a weight's gradient are read
    /// and written for every chunk. Longer chunks than of some 4,000 tokens save no more than 1% of the time by that.
    private static func mostUnits(
        _ units: Int, _ unit: Int, _ held: Int, _ layer: LinearShape, _ needs: LinearNeeds, _ exact: Bool
    ) -> Int {
        let sums = needs.contains(.weight) && separatesSums(layer.weight, exact, chunks: 2)
        return max(1, min(units, held < units && sums && unit == 1 ? min(held, 3840) : held))
    }

    /// The same with a device's budget. All tokens are one chunk where that takes no more memory than several do: these
    /// need fp32 sums of the weight's gradient, which one does not, and reading and writing them takes time.
    package init(
        _ layer: LinearShape, needs: LinearNeeds, exact: Bool, deviceBytes: Int, lossBytes: Int
    ) {
        func plan(_ budgetBytes: Int) -> ChunkPlan {
            ChunkPlan(
                layer, needs: needs, exact: exact, budgetBytes: budgetBytes, lossBytes: lossBytes)
        }
        let (several, one) = (plan(deviceBytes), plan(.max))
        self = one.peakBytes <= several.peakBytes ? one : several
    }

    /// Whether weight gradients need sums of another type than their own.
    static func separatesSums(_ dtype: DType, _ exact: Bool, chunks: Int) -> Bool {
        dtype != .f32 && exact && chunks > 1
    }

    /// Whether the bias' gradient is another array than its sums in fp32.
    private static func separatesBias(_ layer: LinearShape) -> Bool { layer.bias.map { $0 != .f32 } ?? false }

    private static func scaleBytes(_ layer: LinearShape, _ needs: LinearNeeds, ofWeight: Bool) -> Int {
        let isApart = needs.contains(.scales)
        let parts: [(LinearNeeds, DType?, hasScales: Bool, rows: Int)] = [
            (.input, layer.inputGradient, isApart, layer.tokens),
            (.weight, layer.weight, ofWeight, layer.vocabulary), (.bias, layer.bias, isApart, 1),
        ]
        let kept = parts.filter { needs.contains($0.0) && $0.1 == .f16 && $0.hasScales }
        return kept.reduce(0) { $0 + 4 * $1.rows }
    }

    /// - Parameters: rows of the products that make gradients.
    private static func workspaceBytes(
        _ layer: LinearShape, _ needs: LinearNeeds, _ rows: Int, inputRows: Int, weightRows: Int
    ) -> Int {
        let (hidden, vocabulary) = (layer.hidden, layer.vocabulary)
        let dtypes = [layer.input, layer.weight]
        var products = [(rows, vocabulary, hidden)]
        if needs.contains(.input) { products.append((inputRows, hidden, vocabulary)) }
        if needs.contains(.weight) { products.append((weightRows, hidden, rows)) }
        return products.map {
            MatMul.workspaceBytes(rows: $0.0, columns: $0.1, inner: $0.2, dtypes: dtypes)
        }.max() ?? 0
    }

    /// The tokens of each chunk, in one piece.
    var ranges: [[Range<Int>]] {
        (0..<chunks).map { [($0 * chunkTokens)..<min(($0 + 1) * chunkTokens, tokens)] }
    }

    /// One line for people: the cut, and what it takes.
    public var description: String {
        "\(tokens) tokens in \(chunks) chunks of \(chunkTokens): logits \(Self.mebibytes(logitsBytes)), fp32 sums "
            + "\(Self.mebibytes(accumulatorBytes)), at most \(Self.mebibytes(peakBytes)) in addition to inputs and "
            + "gradients"
    }

    private static func mebibytes(_ bytes: Int) -> String {
        let tenths = (bytes * 10 + (1 << 19)) >> 20
        return "\(tenths / 10).\(tenths % 10) MiB"
    }
}

/// Sizes and storage types of a linear layer at the end of a model.
package struct LinearShape: Sendable {
    package var tokens: Int
    package var hidden: Int
    package var vocabulary: Int
    /// Elements from one row of the logits to the next.
    package var pitch: Int
    /// As it is multiplied.
    package var input: DType
    /// As it was given.
    package var inputGradient: DType
    package var weight: DType
    package var bias: DType?
    package var logits: DType
    /// The logits' gradient as it is multiplied; where it has another type than they, it has memory of its own.
    package var gradient: DType
    /// Whether rows of the gradient are exponentials of logits over a number each (`LabelExponentials`).
    package var isExponential = false
}

extension LinearShape {
    /// What a row's logits take, and their gradient where it does not overwrite them.
    package func rowBytes(_ needs: LinearNeeds) -> Int {
        let apart = needs.wantsGradients && gradient != logits ? gradient.byteCount : 0
        return pitch * (logits.byteCount + apart)
    }

    /// Whether rows of the logits' gradient are divided by scales.
    var isScaled: Bool { gradient == .f16 || isExponential }

    /// Whether the input's gradient is rounded by way of a product in fp32.
    var roundsInput: Bool { inputGradient == .f16 || gradient == .f16 }

    /// Rows of such a product: 32 MiB, long enough for products at full speed. It takes a 16th of the weight's gradient
    /// in fp32 at most, so that sums in f16 take less than those.
    fileprivate var mostProductRows: Int { max(1, min((32 << 20) / (4 * hidden), vocabulary / 16)) }

    /// A layer of one storage type.
    package init(
        tokens: Int, hidden: Int, vocabulary: Int, pitch: Int? = nil, dtype: DType, hasBias: Bool = false,
        logits: DType
    ) {
        self.init(
            tokens: tokens, hidden: hidden, vocabulary: vocabulary, pitch: pitch ?? vocabulary,
            input: dtype, inputGradient: dtype,
            weight: dtype, bias: hasBias ? dtype : nil, logits: logits, gradient: logits)
    }
}

/// Which gradients are wanted; frozen ones cost nothing.
public struct LinearNeeds: OptionSet, Sendable, Hashable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// The layer's input.
    public static let input = LinearNeeds(rawValue: 1)
    /// Its weight.
    public static let weight = LinearNeeds(rawValue: 2)
    /// Its bias, where it has one.
    public static let bias = LinearNeeds(rawValue: 4)
    /// All three.
    public static let all: LinearNeeds = [.input, .weight, .bias]
    /// In addition to gradients, the scales of those in f16 apart from them (`LinearScales`), for a caller that will multiply
    /// both by an upstream gradient. Otherwise gradients are for an upstream gradient of 1, of which f16 loses what a
    /// loss scale would have saved.
    public static let scales = LinearNeeds(rawValue: 8)

    /// Whether any gradient is wanted.
    package var wantsGradients: Bool { !isDisjoint(with: .all) }
}
