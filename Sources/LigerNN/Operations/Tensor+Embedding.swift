import LigerKernels
package import LigerRuntime
import Tile

extension Tensor {
    /// Rows of this table [vocabulary, hidden size] for the ids [tokens].
    ///
    /// - Parameter paddingID: an id whose row gets no gradient here, as PyTorch's `padding_idx`.
    /// - Throws: an error naming the first id outside of the vocabulary.
    package func rows(_ ids: NDArray, paddingID: Int? = nil) throws -> Tensor {
        let vocabulary = shape[0]
        // A parameter's gradient is summed in fp32 and rounded once to the type it is stored in.
        let dtype = if case .parameter(let parameter) = origin { parameter.gradientDType } else { DType.f32 }
        return tape.record(try Embedding.forward(ids: ids, table: value), from: [self]) { upstream in
            let gradient = try Embedding.backward(
                dy: upstream.array, ids: ids, vocabulary: vocabulary, dtype: dtype)
            if let paddingID {
                try Elementwise.fill(gradient.sliced(0, paddingID..<(paddingID + 1)), 0)
            }
            return [.array(gradient)]
        }
    }
}
