public import LigerRuntime
public import Tile

/// A value in a computation that can be differentiated: an array, and where it came from.
///
/// Made by a `Tape` from a parameter or an array, then by operations. Copies are handles to one value.
public struct Tensor {
    /// The numbers. Operations never change them.
    public let value: NDArray
    /// The record this value belongs to. Operands of one operation share it.
    public let tape: Tape
    let origin: Origin
    /// How derivatives get the value if they should not keep it.
    let recipe: Recipe<NDArray>?

    /// Where a gradient of this value goes.
    enum Origin {
        /// Nowhere.
        case constant
        /// To the operation of this number on the tape.
        case node(Int)
        /// To a parameter, which adds gradients up.
        case parameter(Parameter)
        /// To a leaf, for whoever made it.
        case leaf(Leaf)
    }

    init(_ value: NDArray, _ tape: Tape, _ origin: Origin, _ recipe: Recipe<NDArray>? = nil) {
        self.value = value
        self.tape = tape
        self.origin = origin
        self.recipe = recipe
    }

    /// Sizes of the dimensions.
    public var shape: [Int] { value.shape }
    /// How the elements are stored.
    public var dtype: DType { value.dtype }

    /// Whether a backward pass computes a gradient for this value or for something it came from.
    public var requiresGradient: Bool {
        if case .constant = origin { false } else { true }
    }

    /// What backward passes have added up for the parameter that this is; nil for other values, whose
    /// gradients are freed once used.
    public var gradient: NDArray? {
        if case .parameter(let parameter) = origin { parameter.gradient } else { nil }
    }

    /// The same numbers in another shape of as many elements. Costs nothing.
    public func reshaped(_ shape: [Int]) -> Tensor {
        let old = value.shape
        let again = recipe(applying: { $0.reshaped(shape) })
        return tape.record(value.reshaped(shape), from: [self], recipe: again) { upstream in
            [.array(upstream.array.reshaped(old))]
        }
    }
}
