public import LigerRuntime
public import Tile

/// Rows of a table by token id: y[t] = table[ids[t]].
///
/// The backward pass sums dy over the tokens of each id in fp32, in the tokens' order: the same bits on
/// every run and for any number of threads. It has no atomics and no sort: one pass over the ids links
/// each token to the next of its id, then every row of the table follows its own chain.
/// Bytes moved: one row read and written per token; backward dy read and dTable written once.
public enum Embedding {
    /// - Parameters:
    ///   - ids: [...], i32 or i64, contiguous.
    ///   - table: [V, H], f32, bf16 or f16, contiguous.
    /// - Returns: [..., H], in the table's type.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out; `LaunchError` naming an
    ///   id outside the table and its position.
    public static func forward(ids: NDArray, table: NDArray) throws -> NDArray {
        let list = try asList(ids), rows = try table.asRows("table")
        try table.expect("table", shape: rows.shape)
        let hidden = rows.shape[1]
        let y = try NDArray(empty: ids.shape + [hidden], dtype: table.dtype, device: table.device)
        let kernel = EmbeddingForward(columns: hidden, dtype: table.dtype, ids: ids.dtype)
        try kernel.launch(programs: list.count, ["ids": list, "table": rows, "y": y.rows])
        return y
    }

    /// The gradient of a scalar with respect to the table, given its gradient with respect to y.
    ///
    /// - Parameters:
    ///   - dy: [..., H], f32, bf16 or f16, contiguous.
    ///   - ids: as given to `forward`.
    ///   - vocabulary: V.
    ///   - dtype: the result's type; nil takes dy's.
    /// - Returns: [V, H]; rows of ids that do not occur are 0.
    /// - Throws: `RuntimeError` if shapes or types do not fit or memory runs out; `LaunchError` naming an
    ///   id outside the table and its position.
    /// - Cost: in addition to the sums, one short turn of a loop per token, and 8 bytes per row of the table.
    public static func backward(
        dy: NDArray, ids: NDArray, vocabulary: Int, dtype: DType? = nil
    ) throws -> NDArray {
        let list = try asList(ids), rows = try dy.asRows("dy")
        let hidden = rows.shape[1]
        try dy.expect("dy", shape: ids.shape + [hidden])
        let dtype = dtype ?? dy.dtype
        guard vocabulary > 0, dtype.isFloat else {
            throw RuntimeError(
                "the gradient of a table of \(vocabulary) rows of \(dtype.rawValue). "
                    + "Give at least 1 row, of f32, bf16 or f16")
        }
        let chains = try TokenChains(list, vocabulary: vocabulary)
        let dTable = try NDArray(empty: [vocabulary, hidden], dtype: dtype, device: dy.device)
        try EmbeddingBackward(columns: hidden, dtype: dy.dtype, table: dtype).launch(
            programs: vocabulary,
            [
                "dy": rows, "first": chains.first, "count": chains.count, "next": chains.next,
                "dTable": dTable,
            ])
        return dTable
    }

    /// ids as [N].
    private static func asList(_ ids: NDArray) throws -> NDArray {
        guard ids.dtype == .i32 || ids.dtype == .i64, ids.isContiguous else {
            throw RuntimeError(
                "ids holds \(ids.dtype.rawValue) of shape \(ids.shape) with strides \(ids.strides). "
                    + "Give it contiguous i32 or i64")
        }
        return ids.flattened
    }
}
