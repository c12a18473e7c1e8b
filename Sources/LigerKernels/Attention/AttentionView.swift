import LigerRuntime

/// What the queries of a block see of its keys, and what happens to their scores.
package struct AttentionView {
    /// Documents that share rows of the batch.
    struct Documents {
        /// [rows, length], i32: where each token's document begins.
        let firsts: NDArray
        /// The position of the block's first key.
        let firstKey: Int
        /// The block's first unit, and how many of them a row of the batch has.
        let firstUnit, unitsPerRow: Int
    }

    /// What scores are multiplied by.
    let scale: Float
    let softcap: Float?
    /// The place of the first query among the block's keys; a query sees the keys up to its own place.
    let firstQuery: Int
    /// The most keys that a query sees.
    let window: Int?
    let documents: Documents?
    /// Columns of a piece, in which rows are walked.
    let lanes: Int

    init(
        scale: Float, softcap: Float?, firstQuery: Int, window: Int?, documents: Documents?, lanes: Int
    ) {
        (self.scale, self.softcap, self.firstQuery) = (scale, softcap, firstQuery)
        (self.window, self.documents, self.lanes) = (window, documents, lanes)
    }

    /// All keys up to a query's own.
    package init(scale: Float, firstQuery: Int, lanes: Int) {
        self.init(
            scale: scale, softcap: nil, firstQuery: firstQuery, window: nil, documents: nil, lanes: lanes)
    }

    /// What a kernel is compiled for.
    var form: AttentionForm {
        AttentionForm(
            lanes: lanes, softcap: softcap, hasWindow: window != nil, hasDocuments: documents != nil)
    }

    var scalars: LaunchScalars {
        [
            "scale": .float(scale), "first query": .index(firstQuery), "window": window.map { .index($0) },
            "first key": documents.map { .index($0.firstKey) },
            "first unit": documents.map { .index($0.firstUnit) },
            "units": documents.map { .index($0.unitsPerRow) },
        ]
    }
}

/// What kernels over scores are compiled for.
struct AttentionForm: Hashable, Sendable {
    /// Columns of a piece.
    let lanes: Int
    let softcap: Float?
    let hasWindow: Bool
    let hasDocuments: Bool
}
