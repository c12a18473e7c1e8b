import LigerKernels
import LigerRuntime
import Tile

extension Embedding: Catalogued {
    package static let entry = CatalogueEntry(
        name: "Embedding", summary: "y[t] = table[id[t]]",
        workload: { size in
            var samples = size.samples(seed: 6)
            let table = try samples.array([size.vocabulary, size.columns / 8], size.dtype)
            let ids = try samples.positions(size.rows, below: size.vocabulary)
            let dy = try samples.array([size.rows, size.columns / 8], size.dtype)
            let shape = "\(size.rows) of \(size.vocabulary)x\(size.columns / 8) \(size.dtype.rawValue)"
            return Workload(shape: shape, floorBytes: 3 * dy.byteCount + table.byteCount) {
                _ = try Embedding.forward(ids: ids, table: table)
                _ = try Embedding.backward(
                    dy: dy, ids: ids, vocabulary: size.vocabulary, dtype: size.dtype)
            }
        },
        check: { point in
            var samples = point.samples
            let (n, vocabulary) = (point.columns, 11)
            let table = try samples.array([vocabulary, n], point.dtype)
            let ids = try samples.positions(point.rows, below: vocabulary)
            let dy = try samples.array([point.rows, n], point.dtype)
            let y = try Embedding.forward(ids: ids, table: table)
            let dTable = try Embedding.backward(
                dy: dy, ids: ids, vocabulary: vocabulary, dtype: point.dtype)
            let rows = table.doubles
            return [
                point.result("y", y, ids.integers.flatMap { rows[($0 * n)..<(($0 + 1) * n)] }),
                point.result(
                    "dtable", dTable,
                    Embedding.Reference.backward(
                        dy: dy.doubles, ids: ids.integers, vocabulary: vocabulary, columns: n),
                    terms: point.rows),
            ]
        })
}
