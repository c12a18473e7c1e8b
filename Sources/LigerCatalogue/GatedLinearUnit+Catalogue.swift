import LigerKernels
import LigerRuntime

extension SwiGLU: Catalogued { package static var entry: CatalogueEntry { Catalogue.swiGLU } }
extension GeGLU: Catalogued { package static var entry: CatalogueEntry { Catalogue.geGLU } }

extension Catalogue {
    static let swiGLU = gated(
        "SwiGLU", summary: "y = gate / (1 + exp(-gate)) * up",
        forward: SwiGLU.forward, backward: SwiGLU.backward,
        overwrite: { try SwiGLU.backward(dy: $0, overGate: $1, up: $2) },
        value: SwiGLU.Reference.forward, gradient: SwiGLU.Reference.backward)

    static let geGLU = gated(
        "GeGLU", summary: "y = gelu(gate) * up, by tanh or erf",
        forward: { try GeGLU.forward(gate: $0, up: $1, approximation: .tanh) },
        backward: { try GeGLU.backward(dy: $0, gate: $1, up: $2, approximation: .tanh) },
        overwrite: { try GeGLU.backward(dy: $0, overGate: $1, up: $2, approximation: .tanh) },
        value: { GeGLU.Reference.forward(gate: $0, up: $1, .tanh) },
        gradient: { GeGLU.Reference.backward(dy: $0, gate: $1, up: $2, .tanh) })

    private static func gated(
        _ name: String, summary: String,
        forward: @escaping @Sendable (NDArray, NDArray) throws -> NDArray,
        backward: @escaping @Sendable (NDArray, NDArray, NDArray) throws -> (dgate: NDArray, dup: NDArray),
        overwrite: @escaping @Sendable (NDArray, NDArray, NDArray) throws -> Void,
        value: @escaping @Sendable (Double, Double) -> Double,
        gradient: @escaping @Sendable (Double, Double, Double) -> (dgate: Double, dup: Double)
    ) -> CatalogueEntry {
        CatalogueEntry(
            name: name, summary: summary,
            workload: { size in
                var samples = size.samples(seed: 3)
                let gate = try samples.array([size.rows, size.columns], size.dtype)
                let up = try samples.array([size.rows, size.columns], size.dtype)
                let dy = try samples.array([size.rows, size.columns], size.dtype)
                return Workload(shape: size.rowsByColumns, floorBytes: 8 * gate.byteCount) {
                    _ = try forward(gate, up)
                    _ = try backward(dy, gate, up)
                }
            },
            check: { point in
                var samples = point.samples
                let shape = [point.rows, point.columns]
                let gate = try samples.array(shape, point.dtype, in: -6...6)
                let up = try samples.array(shape, point.dtype), dy = try samples.array(shape, point.dtype)
                let y = try forward(gate, up)
                let (dgate, dup) = try backward(dy, gate, up)
                let inputs = zip(dy.doubles, zip(gate.doubles, up.doubles)).map { ($0, $1.0, $1.1) }
                let gradients = inputs.map { gradient($0.0, $0.1, $0.2) }
                // Last, as it leaves its gradients in gate and up.
                try overwrite(dy, gate, up)
                return [
                    point.result("y", y, inputs.map { value($0.1, $0.2) }, roundings: 2),
                    point.result("dgate", dgate, gradients.map(\.dgate), terms: 4, roundings: 2, scale: 4),
                    point.result("dup", dup, gradients.map(\.dup), roundings: 2, scale: 12),
                    point.result(
                        "dgate over gate", gate, gradients.map(\.dgate), terms: 4, roundings: 2, scale: 4),
                    point.result("dup over up", up, gradients.map(\.dup), roundings: 2, scale: 12),
                ]
            })
    }
}
