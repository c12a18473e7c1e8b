import LigerKernels
import LigerRuntime
import Tile

extension RandomFill: Catalogued {
    package static let entry = CatalogueEntry(
        name: "RandomFill", summary: "Philox4x32-10 of (seed, stream, place), uniform or normal",
        workload: { size in
            let array = try NDArray(
                empty: [size.rows, size.columns], dtype: size.dtype, device: size.device)
            return Workload(shape: size.rowsByColumns, floorBytes: array.byteCount) {
                try RandomFill.normal(array, seed: 1, stream: 1)
            }
        },
        check: { point in
            let shape = [point.rows, point.columns]
            let normal = try NDArray(empty: shape, dtype: point.dtype, device: point.device)
            let uniform = try NDArray(empty: shape, dtype: point.dtype, device: point.device)
            try RandomFill.normal(normal, seed: point.seed, stream: 3)
            try RandomFill.uniform(uniform, seed: point.seed, stream: 4)
            let places = 0..<normal.count
            return [
                point.result(
                    "normal", normal,
                    places.map { RandomFill.Reference.normal($0, seed: point.seed, stream: 3) }, terms: 16,
                    scale: 6),
                point.result(
                    "uniform", uniform,
                    places.map { RandomFill.Reference.uniform($0, seed: point.seed, stream: 4) }, scale: 1),
            ]
        })
}
