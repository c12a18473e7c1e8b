import LigerKernels
import LigerRuntime
import Tile

extension AdamW: Catalogued {
    package static let entry = CatalogueEntry(
        name: "AdamW", summary: "w -= lr (m' / (sqrt(v') + eps) + decay w), masters in fp32",
        workload: { size in
            let slot = try adamWSlot(size.samples(seed: 9), [size.rows, size.columns], size.dtype)
            let state = slot.m.byteCount + slot.v.byteCount + (slot.master?.byteCount ?? 0)
            let floor = 2 * (state + slot.parameter.byteCount) + slot.gradient.byteCount
            return Workload(shape: size.rowsByColumns, floorBytes: floor) {
                try AdamW.step([slot], step: 1)
            }
        },
        check: { point in
            let slot = try adamWSlot(
                point.samples, [point.rows, point.columns], point.dtype)
            let options = AdamW.Options(lr: 0.01, weightDecay: 0.1)
            var reference = AdamW.Reference(slot.parameter.doubles)
            for step in 1...3 {
                try AdamW.step([slot], options, step: step)
                reference.step(slot.gradient.doubles, options, step: step)
            }
            return [
                point.result("w", slot.parameter, reference.w, terms: 9),
                point.result("m", slot.m, reference.m, terms: 9),
                point.result("v", slot.v, reference.v, terms: 9),
            ]
        })

    private static func adamWSlot(
        _ generator: Samples, _ shape: [Int], _ dtype: DType
    ) throws -> AdamW.Slot {
        var samples = generator
        let parameter = try samples.array(shape, dtype)
        let master = dtype == .f32 ? nil : try NDArray(parameter.floats, shape, device: parameter.device)
        return AdamW.Slot(
            parameter: parameter, gradient: try samples.array(shape, dtype),
            m: try NDArray.zeros(shape, device: parameter.device),
            v: try NDArray.zeros(shape, device: parameter.device), master: master)
    }
}

extension GradientNorm: Catalogued {
    package static let entry = CatalogueEntry(
        name: "GradientNorm", summary: "norm = sqrt(sum(g^2)); g *= min(1, limit / norm)",
        workload: { size in
            var samples = size.samples(seed: 10)
            let g = try samples.array([size.rows, size.columns], size.dtype)
            return Workload(shape: size.rowsByColumns, floorBytes: g.byteCount) {
                _ = try GradientNorm.compute([g])
            }
        },
        check: { point in
            var samples = point.samples
            let g = try samples.array([point.rows, point.columns], point.dtype)
            let other = try samples.array([3], point.dtype)
            let before = g.doubles
            let norm = (before + other.doubles).reduce(0) { $0 + $1 * $1 }.squareRoot()
            let found = try GradientNorm.compute([g, other])
            try GradientNorm.clip([g, other], norm: found, maximum: 0.5)
            let scale = min(1, 0.5 / (norm + 1e-6))
            return [
                point.result("norm", found, [norm], terms: 4),
                point.result("g", g, before.map { $0 * scale }, terms: 9),
            ]
        })
}
