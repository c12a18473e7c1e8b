import LigerKernels
import LigerRuntime
import Tile

extension NeighborhoodAttention: Catalogued {
    package static let entry = CatalogueEntry(
        name: "NeighborhoodAttention", summary: "o = softmax(scale q k) v over |i - j| <= radius dilation",
        workload: { size in
            var samples = size.samples(seed: 34)
            let shape = [max(1, size.columns / 128), size.rows, 128]
            let arrays = try (0..<4).map { _ in try samples.array(shape, size.dtype) }
            let (q, k, v, dO) = (arrays[0], arrays[1], arrays[2], arrays[3]), window = Window(radius: 3)
            return Workload(
                shape: "\(shape[0])x\(size.rows)x128 \(size.dtype.rawValue)", floorBytes: 12 * q.byteCount
            ) {
                let found = try forward(q: q, k: k, v: v, window: window, scale: 0.1)
                _ = try backward(
                    dO: dO, q: q, k: k, v: v, o: found.o, lse: found.lse, window: window, scale: 0.1)
            }
        },
        check: { point in
            var samples = point.samples
            let columns = point.columns, length = point.rows + 6
            let window = Window(radius: 2, dilation: 1 + point.rows % 2)
            // Scores of some units whatever the length of a row.
            let scale = 1 / Float(columns).squareRoot()
            let arrays = try (0..<4).map { _ in try samples.array([1, length, columns], point.dtype) }
            let (q, k, v, dO) = (arrays[0], arrays[1], arrays[2], arrays[3])
            let found = try forward(q: q, k: k, v: v, window: window, scale: scale)
            let gradients = try backward(
                dO: dO, q: q, k: k, v: v, o: found.o, lse: found.lse, window: window, scale: scale)
            let rows = arrays.map(Reference.rows)
            let reference = Reference(
                q: rows[0], k: rows[1], v: rows[2], window: window, scale: Double(scale))
            let expected = reference.backward(dO: rows[3])
            // What the query's gradient takes from o is rounded to its type.
            let results = [
                ("dq", gradients.dq, expected.dq), ("dk", gradients.dk, expected.dk),
                ("dv", gradients.dv, expected.dv),
            ]
            return [point.result("o", found.o, reference.o.flatMap { $0 }, terms: columns, scale: 2)]
                + results.map { name, found, expected in
                    let expected = expected.flatMap { $0 }
                    return point.result(
                        name, found, expected, terms: 4 * columns, roundings: 3,
                        scale: LigerCatalogue.scale(of: expected, atLeast: 8))
                }
        })
}
