import LigerKernels
package import LigerRuntime
import Tile

extension Tensor {
    /// Rows of this table [vocabulary, hidden size] for the ids [tokens].
    ///
    /// - Throws: an error naming the first id outside of the vocabulary.
    package func rows(_ ids: NDArray) throws -> Tensor {
        let vocabulary = shape[0]
        return tape.record(try Embedding.forward(ids: ids, table: value), from: [self]) { upstream in
            [
                .array(
                    try Embedding.backward(
                        dy: upstream.array, ids: ids, vocabulary: vocabulary, dtype: .f32))
            ]
        }
    }
}
