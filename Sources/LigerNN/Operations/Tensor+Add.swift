import LigerKernels
import LigerRuntime

extension Tensor {
    /// Sum of two tensors of one shape, in the left one's storage type.
    public func adding(_ other: Tensor) throws -> Tensor {
        let sum = try Elementwise.add(value, other.value)
        let type = other.dtype
        return tape.record(sum, from: [self, other]) { upstream in
            [.array(upstream.array), .array(try Cast.apply(upstream.array, to: type))]
        }
    }
}
