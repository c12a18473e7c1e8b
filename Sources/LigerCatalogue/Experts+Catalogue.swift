import LigerKernels
import LigerRuntime
import Tile

extension Experts: Catalogued {
    package static let entry = CatalogueEntry(
        name: "Experts", summary: "y = sum over k of v_k D silu(G x) * U x, D, G and U of expert e_k",
        workload: { size in
            let hidden = (size.hidden ?? size.columns / 2) / 128 * 128
            let sample = try ExpertSample(
                size.samples(seed: 33), tokens: size.rows, hidden: hidden, inner: hidden / 2 / 64 * 64,
                experts: 32, choices: 4, size.dtype, size.device)
            let floor = sample.x.byteCount * 6 + sample.weights.gateUp.byteCount * 9 / 2
            return Workload(shape: sample.shape, floorBytes: floor) { _ = try sample.run() }
        },
        check: { point in
            let sample = try ExpertSample(
                point.samples, tokens: point.rows, hidden: 128, inner: 64, experts: 3, choices: 2,
                point.dtype,
                point.device)
            return try sample.results(point)
        },
        refusal: { dtype, device in
            if !device.isGPU { return nil }
            if dtype == .f32 { return "tensor cores take 16-bit matrices" }
            return device.backend.traits.multipliesInKernels
                ? nil : "kernels that multiply are written for sm_90 so far"
        })
}

/// Tokens, experts and choices.
private struct ExpertSample {
    let x: NDArray
    let dy: NDArray
    let weights: Experts.Weights
    let rows: ExpertRows
    let experts: [Int]

    init(
        _ samples: Samples, tokens: Int, hidden: Int, inner: Int, experts count: Int, choices: Int,
        _ dtype: DType, _ device: Device
    ) throws {
        var samples = samples
        x = try samples.array([tokens, hidden], dtype)
        dy = try samples.array([tokens, hidden], dtype)
        weights = Experts.Weights(
            gateUp: try samples.array([count, 2 * inner, hidden], dtype, in: -0.25...0.25),
            down: try samples.array([count, hidden, inner], dtype, in: -0.25...0.25),
            choices: try samples.array([tokens, choices], .f32, in: 0...1))
        // One expert more than there is.
        experts = try samples.positions(tokens * choices, below: count + 1).integers
        rows = try ExpertRows(experts, experts: count, device: device)
    }

    var shape: String {
        let gates = weights.gateUp.shape
        return
            "\(x.shape[0])x\(x.shape[1]), \(weights.choices.shape[1]) of \(gates[0]) experts of \(gates[1] / 2) "
            + x.dtype.rawValue
    }

    func run() throws -> (y: NDArray, gradients: Experts.Gradients) {
        let (y, gates) = try Experts.forward(x, weights, rows, keepsGates: true)
        guard let gates else { throw RuntimeError("gates were not kept") }
        return (y, try Experts.backward(dy: dy, x: x, gates: gates, weights, rows))
    }

    func results(_ point: CheckCase) throws -> [CheckResult] {
        let found = try run()
        let (matrices, count) = (weights.gateUp.shape, weights.choices.shape[1])
        let expected = Experts.Reference(
            hidden: matrices[2], inner: matrices[1] / 2, choices: count, x: x.doubles,
            gateUp: weights.gateUp.doubles, down: weights.down.doubles, weights: weights.choices.doubles,
            experts: experts
        ).results(dy: dy.doubles)
        func result(_ name: String, _ array: NDArray?, _ values: [Double]) -> CheckResult {
            // What is summed has been rounded, also where the sum is not.
            let bound = errorBound(point.dtype, terms: 64, roundings: 4)
            let size = scale(of: values, atLeast: 1), values = (array?.doubles ?? [], values)
            return CheckResult(
                quantity: name, error: relativeError(values.0, values.1, scale: size), bound: bound,
                values: values.0)
        }
        return [
            result("y", found.y, expected.y), result("dx", found.gradients.dInput, expected.dx),
            result("dgate_up", found.gradients.dGateUp, expected.dGateUp),
            result("ddown", found.gradients.dDown, expected.dDown),
            result("dweights", found.gradients.dChoices, expected.dWeights),
        ]
    }
}
