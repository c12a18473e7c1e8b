import LigerKernels
public import LigerRuntime
public import Tile

/// Numbers that training changes, and their gradient.
///
/// A parameter is known by name, shape and type before it takes memory: `allocate` does that.
public final class Parameter {
    /// How a parameter starts.
    public enum Initialisation: Sendable, Hashable {
        /// Independent normal deviates around 0.
        case normal(deviation: Float)
        /// Independent uniform deviates from -bound to bound.
        case uniform(bound: Float)
        /// One number everywhere.
        case constant(Float)
    }

    /// Its name in a Hugging Face checkpoint, such as `model.layers.0.self_attn.q_proj.weight`.
    public let name: String
    /// Sizes of the dimensions.
    public let shape: [Int]
    /// How the numbers are stored.
    public let dtype: DType
    var memory: NDArray?
    var memoryInFloat8: Float8Factor?
    /// Whose numbers these are; nil for its own.
    private var source: Parameter?
    /// What is here of the numbers, where ranks keep a part each; nil where all of them are.
    var ownPart: Part?
    /// The sum of what backward passes have found since it was last set to nil; shaped like the value. Where ranks
    /// share the optimiser's work, once it is summed over them, the elements of this rank alone, in one dimension.
    public var gradient: NDArray?
    /// False while frozen: it is not differentiated.
    public var requiresGradient = true
    /// Storage of the gradient. f32 sums micro-batches and several uses without loss.
    public var gradientDType = DType.f32
    /// Called by a backward pass that adds nothing more to the gradient: who takes it then sets it to nil.
    package var gradientArrived: ((Parameter) throws -> Void)?
    /// Whether the optimiser may shrink it; off for norms and biases.
    public let decays: Bool
    /// How it starts.
    public let initialisation: Initialisation
    /// How checkpoints store it where they cut it into pieces; nil where they do not.
    private let pieces: ExpertPieces?

    /// A parameter without memory.
    public convenience init(
        _ name: String, _ shape: [Int], dtype: DType = .f32, initialisation: Initialisation,
        decays: Bool = true
    ) {
        self.init(name, shape, dtype: dtype, initialisation: initialisation, decays: decays, pieces: nil)
    }

    /// A parameter without memory that checkpoints store in pieces.
    init(
        _ name: String, _ shape: [Int], dtype: DType, initialisation: Initialisation, decays: Bool = true,
        pieces: ExpertPieces?
    ) {
        self.pieces = pieces
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.decays = decays
        self.initialisation = initialisation
    }

    /// How many numbers; `Int.max` where it is beyond that.
    public var count: Int {
        shape.reduce(1) { product, extent in
            let (larger, overflows) = product.multipliedReportingOverflow(by: extent)
            return overflows ? .max : larger
        }
    }

    /// The share of it that a token's products read: less than 1 where a token goes to some experts.
    package var usedShare: Double { pieces?.usedShare ?? 1 }

    /// The tensors that it is in a checkpoint, in order: mostly itself.
    package var stored: [StoredPiece] {
        pieces?.list(shape) ?? [StoredPiece(name: name, shape: shape, place: 0)]
    }

    /// The numbers, once `allocate` has taken memory for them. Whoever replaces them keeps shape and dtype.
    public var value: NDArray {
        get {
            guard let memory = owner.memory else {
                preconditionFailure("\(name) has no memory: allocate it, or gather its parts, first")
            }
            return memory
        }
        set {
            precondition(newValue.shape == shape, "a parameter keeps its shape")
            precondition(newValue.dtype == dtype, "a parameter keeps its dtype")
            memory = newValue
        }
    }

    /// Takes memory, whose contents are not set; `initialise` or a checkpoint sets them.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    public func allocate(on device: Device) throws {
        memory = try NDArray(empty: shape, dtype: dtype, device: device)
    }

    /// Rounds the numbers of a frozen matrix to 8 bits, and gives up the ones they were rounded from: `value` cannot be
    /// asked for any more.
    ///
    /// - Throws: `RuntimeError` when memory runs out.
    package func holdInFloat8() throws {
        precondition(!requiresGradient, "only frozen numbers are held in 8 bits")
        memoryInFloat8 = try Float8Factor(rounding: value, to: .e4m3)
        memory = nil
    }

    /// The numbers in 8 bits, where they are held in the place of `value`.
    package var float8: Float8Factor? { owner.memoryInFloat8 }

    /// Has the memory of another parameter of the same shape, which nobody changes any more.
    package func share(_ other: Parameter) {
        precondition(other.shape == shape && other.dtype == dtype, "a parameter keeps its shape and dtype")
        source = other.owner
    }

    /// The parameter whose memory this one has.
    var owner: Parameter { source ?? self }

    /// Sets the numbers to their start.
    ///
    /// - Parameters:
    ///   - seed: that of the run.
    ///   - stream: a number that no other parameter of the run has, so that the start does not depend on
    ///     the order in which parameters are set.
    public func initialise(seed: UInt64, stream: UInt32) throws {
        switch initialisation {
        case .normal(let deviation):
            try RandomFill.normal(value, mean: 0, deviation: deviation, seed: seed, stream: stream)
        case .uniform(let bound):
            try RandomFill.uniform(value, from: -bound, to: bound, seed: seed, stream: stream)
        case .constant(let number): try Elementwise.fill(value, number)
        }
    }

    func accumulate(_ contribution: Contribution) throws {
        let earlier = gradient.take()
        gradient = try contribution.added(to: earlier, shape: shape, dtype: gradientDType)
    }
}
