import LigerKernels
import LigerRuntime
import Tile

extension Float8Matrix: Catalogued {
    package static let entry = CatalogueEntry(
        name: "Float8Matrix", summary: "y = x / scale in e4m3 or e5m2, and y transposed",
        workload: { size in
            var samples = size.samples(seed: 11)
            let x = try samples.array([size.rows, size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: x.byteCount + 2 * x.count) {
                _ = try Float8Matrix.quantise(x, to: .e4m3, columns: true)
            }
        },
        check: { point in
            var samples = point.samples
            // Transposed only where 16 fit.
            let isWhole = point.columns % 16 == 0
            let x = try samples.array([isWhole ? 16 : point.rows, point.columns], point.dtype)
            return try [DType.e4m3, .e5m2].flatMap { type in
                let whole = reference(x.floats, to: type)
                let r = try quantise(x, to: type, columns: isWhole)
                var results = [
                    point.result("\(type)", r.values, whole.values.map(Double.init)),
                    point.result("scale", r.scale, [Double(whole.scale)]),
                ]
                let byRow = try quantise(x, to: type, scaling: .row, columns: isWhole)
                let rows = x.rowsOfFloats.map { reference($0, to: type) }
                results += [
                    point.result("rows", byRow.values, rows.flatMap { $0.values.map(Double.init) }),
                    point.result("scales of rows", byRow.scale, rows.map { Double($0.scale) }),
                ]
                guard isWhole else { return results }
                let columns = x.columnsOfFloats.map { reference($0, to: type) }
                return results + [
                    point.result(
                        "\(type) transposed", r.transposed,
                        transposed(whole.values, columns: point.columns)),
                    point.result(
                        "columns", byRow.transposed, columns.flatMap { $0.values.map(Double.init) }),
                    point.result(
                        "scales of columns", byRow.transposedScale, columns.map { Double($0.scale) }),
                ]
            }
        })

    package static var others: [CatalogueEntry] { [Float8ProductSample.entry] }

    private static func transposed(_ values: [Float], columns: Int) -> [Double] {
        (0..<columns).flatMap { c in stride(from: c, to: values.count, by: columns).map { Double(values[$0]) }
        }
    }
}

extension NDArray {
    fileprivate var rowsOfFloats: [[Float]] {
        let values = floats, columns = shape[1]
        return stride(from: 0, to: values.count, by: columns).map { Array(values[$0..<($0 + columns)]) }
    }

    fileprivate var columnsOfFloats: [[Float]] {
        let values = floats, columns = shape[1]
        return (0..<columns).map { c in stride(from: c, to: values.count, by: columns).map { values[$0] } }
    }
}
