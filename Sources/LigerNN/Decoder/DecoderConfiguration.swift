public import LigerKernels
import LigerRuntime
public import Tile

/// The sizes and options of a Llama-like decoder.
public struct DecoderConfiguration: Sendable, Hashable {
    /// Numbers per token between layers.
    public var hiddenSize = 256
    /// Numbers per token inside the feed-forward layers.
    public var intermediateSize = 688
    /// Blocks.
    public var layers = 4
    /// Query heads.
    public var heads = 4
    /// Key and value heads, each shared by heads / kvHeads query heads.
    public var kvHeads = 4
    /// Numbers per head; even.
    public var headSize = 64
    /// Tokens there are.
    public var vocabulary = 256
    /// The token that fills up batches, if any: looking it up gives the embedding no gradient.
    public var paddingID: Int?
    /// Added to mean squares.
    public var rmsNormEps: Float = 1e-5
    /// Base of the rotary embedding's wavelengths.
    public var ropeTheta: Float = 10_000
    /// Llama 3's stretching of long wavelengths, if any.
    public var ropeScaling: RoPE.Scaling?
    /// Whether the head uses the embedding's weight.
    public var tieEmbeddings = false
    /// Whether the projections of attention have biases.
    public var attentionBias = false
    /// Whether the projections of feed-forward layers have biases.
    public var feedForwardBias = false
    /// The longest sequence.
    public var maxPositions = 2048
    /// Deviation of the normal distribution that weights start from.
    public var initializerRange: Float = 0.02
    /// Storage of parameters and activations.
    public var dtype = DType.f32

    /// A small model, to change as needed.
    public init() {}

    /// Checks that sizes fit together.
    ///
    /// - Throws: `RuntimeError` naming every problem.
    public func validate() throws {
        var problems: [String] = []
        let sizes = [
            ("hidden size", hiddenSize), ("intermediate size", intermediateSize), ("layers", layers),
            ("heads", heads), ("kv heads", kvHeads), ("head size", headSize), ("vocabulary", vocabulary),
            ("max positions", maxPositions),
        ]
        for (name, size) in sizes where size < 1 {
            problems.append("\(name) is \(size); give it at least 1")
        }
        if kvHeads > 0 && heads % kvHeads != 0 {
            problems.append("\(heads) heads cannot share \(kvHeads) kv heads; use a divisor of \(heads)")
        }
        if let paddingID, !(0..<max(vocabulary, 0)).contains(paddingID) {
            problems.append("padding id is \(paddingID); give one of the vocabulary, or nil")
        }
        if headSize % 2 != 0 {
            problems.append("head size is \(headSize); rotary positions need an even one")
        }
        if !dtype.isFloat {
            problems.append("dtype is \(dtype.rawValue); use f32, bf16 or f16")
        }
        if !(rmsNormEps >= 0 && rmsNormEps.isFinite) {
            problems.append("RMS norm eps is \(rmsNormEps); give it a number of at least 0")
        }
        if !(ropeTheta > 0 && ropeTheta.isFinite) {
            problems.append("RoPE theta is \(ropeTheta); give it a positive number")
        }
        if !(initializerRange >= 0 && initializerRange.isFinite) {
            problems.append("initializer range is \(initializerRange); give it a number of at least 0")
        }
        if !problems.isEmpty {
            throw RuntimeError("the decoder's configuration: " + problems.joined(separator: "; "))
        }
    }
}
