package import LigerRuntime
import Tile

/// The tokens of each id, as a chain in the tokens' order.
package struct TokenChains {
    /// [V], i32: an id's first token, where it occurs.
    package let first: NDArray
    /// [V], i32: how often an id occurs.
    package let count: NDArray
    /// [N], i32: the next token of the same id, where there is one.
    package let next: NDArray

    /// - Parameters:
    ///   - ids: [N], i32 or i64.
    ///   - owners: programs that share the ids. Each reads all tokens and links those of its own ids, so
    ///     the result is the same for any number: one does the least work, many suit a device where a
    ///     single program is slow.
    package init(_ ids: NDArray, vocabulary: Int, owners: Int = 1) throws {
        try TokenCheck(ids: ids.dtype).launch(
            programs: ids.count, [ids], scalars: [.index(vocabulary)])
        first = try NDArray(empty: [vocabulary], dtype: .i32, device: ids.device)
        count = try NDArray.zeros([vocabulary], dtype: .i32, device: ids.device)
        next = try NDArray(empty: [ids.count], dtype: .i32, device: ids.device)
        let share = (vocabulary + owners - 1) / owners
        try LinkTokens(ids: ids.dtype, isOnlyOwner: owners == 1).launch(
            programs: owners, [ids, first, count, next], scalars: [.index(share)])
    }
}
