import LigerKernels
import LigerRuntime

extension Tensor {
    /// Sum of two tensors of one shape, in the left one's storage type.
    public func adding(_ other: Tensor) throws -> Tensor {
        let sum = try Elementwise.add(value, other.value)
        let type = other.dtype
        // Without a recipe the other term would be kept in the place of the sum.
        let own = saved
        let again = other.recipe(applying: { try Elementwise.add(own.array(), $0) })
        return tape.record(sum, from: [self, other], recipe: again) { upstream in
            [.array(upstream.array), .array(try Cast.apply(upstream.array, to: type))]
        }
    }
}
