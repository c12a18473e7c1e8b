import LigerKernels
package import LigerRuntime
import Tile

/// The gradient that reaches an operation's result.
package struct Upstream {
    package let array: NDArray
    /// Whether it is known to be the number 1: the result is the loss itself.
    package let isOne: Bool
}

/// A gradient on its way to the value it belongs to, where it is added to what other uses of that value
/// have sent.
package enum Contribution {
    /// The value needs none.
    case none
    /// An array like the value.
    case array(NDArray)
    /// A matrix product like the value, computed right into the sum.
    case product(any ProductTerm)
}

/// A matrix product that is not yet computed.
package protocol ProductTerm {
    /// Where its factors are.
    var device: Device { get }

    /// Adds the product to `sum`, or writes it there; `sum` has as many elements as the product, contiguous.
    func apply(into sum: NDArray, accumulate: Bool) throws
}

/// op(a) op(b) of two matrices.
package struct MatrixTerm: ProductTerm {
    package let a: NDArray
    package let b: NDArray
    package var transposeA = false
    package var transposeB = false

    package init(_ a: NDArray, _ b: NDArray, transposeA: Bool = false, transposeB: Bool = false) {
        self.a = a
        self.b = b
        self.transposeA = transposeA
        self.transposeB = transposeB
    }

    package var device: Device { a.device }

    private var shape: [Int] { [a.shape[transposeA ? 1 : 0], b.shape[transposeB ? 0 : 1]] }

    package func apply(into sum: NDArray, accumulate: Bool) throws {
        _ = try MatMul.apply(
            a, b, transposeA: transposeA, transposeB: transposeB, into: sum.reshaped(shape),
            accumulate: accumulate)
    }
}

extension Contribution {
    /// The sum of earlier contributions and this one; nil if there is neither.
    ///
    /// The earlier sum is overwritten if nobody else holds it, else left alone.
    ///
    /// - Parameters:
    ///   - sum: the earlier sum; the caller gives it up.
    ///   - shape: that of the value.
    ///   - dtype: the storage of the sum.
    func added(to sum: consuming NDArray?, shape: [Int], dtype: DType) throws -> NDArray? {
        switch self {
        case .none: return sum
        case .array(let term):
            guard var earlier = sum.take() else {
                return try Cast.apply(term, to: dtype)
            }
            if earlier.isUniquelyOwned() {
                try Elementwise.accumulate(term, into: earlier)
                return earlier
            }
            return try Elementwise.add(earlier, term, dtype: dtype)
        case .product(let term):
            if var earlier = sum.take() {
                if earlier.isUniquelyOwned() {
                    try term.apply(into: earlier, accumulate: true)
                    return earlier
                }
                let product = try NDArray(empty: shape, dtype: dtype, device: earlier.device)
                try term.apply(into: product, accumulate: false)
                try Elementwise.accumulate(earlier, into: product)
                return product
            }
            let product = try NDArray(empty: shape, dtype: dtype, device: term.device)
            try term.apply(into: product, accumulate: false)
            return product
        }
    }
}
