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

    package static let others = [
        CatalogueEntry(
            name: "AdamW8", summary: "the same with m and v in 8 bits and bf16 w, all rounded at random",
            workload: { size in
                let slot = try adamW8Slot(size.samples(seed: 9), [size.rows, size.columns])
                let floor = 2 * (slot.m.byteCount + slot.v.byteCount) + 3 * slot.parameter.byteCount
                return Workload(shape: size.rowsByColumns, floorBytes: floor) {
                    try AdamW.step([slot], step: 1, rounding: .stochastic)
                }
            },
            check: { point in
                let slot = try adamW8Slot(point.samples, [point.rows, AdamW.block])
                guard let scales = slot.scales else { return [] }
                let options = AdamW.Options(lr: 0.01, weightDecay: 0.1)
                var reference = AdamW.Reference(slot.parameter.doubles)
                try AdamW.step([slot], options, step: 1, rounding: .stochastic, seed: point.seed)
                reference.step(slot.gradient.doubles, options, step: 1)
                // To either neighbour, at most an eighth of a number's power of two away.
                func result(_ name: String, _ codes: NDArray, _ scales: NDArray, _ bits: Int, _ e: [Double])
                    -> CheckResult
                {
                    let found = AdamW.decoded(codes.integers, scales.doubles, exponentBits: bits)
                    return CheckResult(
                        quantity: name, error: relativeError(found, e), bound: 1 / 15 + 1e-6, values: found)
                }
                return [
                    point.result("w", slot.parameter, reference.w, terms: 9, roundings: 2),
                    result("m", slot.m, scales.m, 4, reference.m),
                    result("v", slot.v, scales.v, 5, reference.v),
                ]
            })
    ]

    private static func adamW8Slot(_ generator: Samples, _ shape: [Int]) throws -> AdamW.Slot {
        var slot = try adamWSlot(generator, shape, .bf16)
        let device = slot.parameter.device
        slot.master = nil
        slot.m = try NDArray.zeros(shape, dtype: .u8, device: device)
        slot.v = try NDArray.zeros(shape, dtype: .u8, device: device)
        let blocks = slot.m.count / AdamW.block
        slot.scales = (
            try NDArray.zeros([blocks], device: device), try NDArray.zeros([blocks], device: device)
        )
        return slot
    }

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
