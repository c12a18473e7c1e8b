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

    /// How the links are found; both give the same.
    package enum Search: Sendable, CaseIterable {
        /// One program walks the tokens: the least work.
        case walking
        /// Every token is compared with all: for devices where a single program is slow. Cost: a comparison per
        /// pair of tokens, a tenth of a millisecond for 32,768 on a large GPU.
        case comparing
    }

    /// - Parameters:
    ///   - ids: [N], i32 or i64.
    ///   - search: nil takes what suits the device.
    package init(_ ids: NDArray, vocabulary: Int, search: Search? = nil) throws {
        let device = ids.device
        try TokenCheck(ids: ids.dtype).launch(
            programs: ids.count, ["ids": ids], scalars: ["vocabulary": .index(vocabulary)])
        first = try NDArray(empty: [vocabulary], dtype: .i32, device: device)
        count = try NDArray.zeros([vocabulary], dtype: .i32, device: device)
        switch search ?? (device.isGPU ? .comparing : .walking) {
        case .walking:
            next = try NDArray(empty: [ids.count], dtype: .i32, device: device)
            try LinkTokens(ids: ids.dtype).launch(
                programs: 1, ["ids": ids, "first": first, "count": count, "next": next])
        case .comparing:
            let blocks = (ids.count + LinkTokensByComparing.block - 1) / LinkTokensByComparing.block
            let padded = try NDArray(
                empty: [blocks * LinkTokensByComparing.block], dtype: .i32, device: device)
            next = try NDArray(empty: [ids.count], dtype: .i32, device: device)
            try PadTokens(ids: ids.dtype).launch(programs: blocks, ["ids": ids, "padded": padded])
            try LinkTokensByComparing().launch(
                programs: ids.count, ["ids": padded, "first": first, "count": count, "next": next])
        }
    }
}
