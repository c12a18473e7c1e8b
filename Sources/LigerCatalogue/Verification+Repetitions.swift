import LigerKernels
import LigerLosses
package import LigerRuntime
import Tile

extension Verification {
    private typealias Run = (operation: String, values: () throws -> [[UInt8]])

    /// Runs operations again and again: all of the catalogue as they are checked, gradients too, and those that sum
    /// over rows and those of attention once more with enough work for a whole GPU.
    ///
    /// - Returns: of each operation, how many repetitions gave other bits than its first run.
    /// - Cost: some tens of seconds for 100 repetitions.
    package static func repetitions(
        _ count: Int, on device: Device
    ) throws -> [(operation: String, differing: Int)] {
        let runs = try catalogueRuns(on: device) + rowSumRuns(on: device) + attentionRuns(on: device)
        return try runs.map { name, run in
            let first = try run()
            var differing = 0
            for _ in 1..<max(count, 2) where try run() != first { differing += 1 }
            return (name, differing)
        }
    }

    /// Every operation with more rows than a sum over them takes at a time, in bf16.
    private static func catalogueRuns(on device: Device) -> [Run] {
        let point = CheckCase(rows: 257, columns: 520, dtype: .bf16, seed: 5, device: device)
        return Catalogue.withAlternatives(Catalogue.entries, on: device)
            .filter { $0.refusal(point.dtype, device) == nil }
            .map { entry in
                (entry.name, { try entry.check(point).flatMap { [bytes([$0.error]), bytes($0.values)] } })
            }
    }

    private static func large(_ name: String, _ run: @escaping () throws -> [NDArray?]) -> Run {
        (name + ", large", { try run().compactMap { try $0.map(bytes) } })
    }

    /// Sums over rows, their partial sums spread over the whole device.
    private static func rowSumRuns(on device: Device) throws -> [Run] {
        var samples = Samples(seed: 3, device: device)
        let (rows, columns, vocabulary) = (1000, 1032, 3001)
        let x = try samples.array([rows, columns], .bf16), dy = try samples.array([rows, columns], .bf16)
        let w = try samples.array([columns], .bf16), head = try samples.array([vocabulary, columns], .bf16)
        let labels = try samples.positions(rows, below: vocabulary)
        let options = FusedLinearCrossEntropy.Options(budgetBytes: 300 * 4 * vocabulary)
        let operations: [(String, () throws -> [NDArray?])] = [
            (
                "RMSNorm",
                {
                    let (y, rstd) = try RMSNorm.forward(x, weight: w)
                    let gradients = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd)
                    return [y, gradients.dx, gradients.dw]
                }
            ),
            (
                "LayerNorm",
                {
                    let saved = try LayerNorm.forward(x, weight: w, bias: w, eps: 1e-5)
                    let gradients = try LayerNorm.backward(
                        dy: dy, x: x, weight: w, mean: saved.mean, rstd: saved.rstd)
                    return [saved.y, gradients.dx, gradients.dw, gradients.db]
                }
            ),
            ("Embedding", { [try Embedding.backward(dy: dy, ids: labels, vocabulary: vocabulary)] }),
            (
                "FusedLinearCrossEntropy",
                {
                    let result = try FusedLinearCrossEntropy.forward(
                        input: x, weight: head, labels: labels, options: options)
                    return [result.loss, result.dInput, result.dWeight]
                }
            ),
        ]
        return operations.map { large($0.0, $0.1) }
    }

    /// Both ways to attention and its gradients, on a GPU.
    private static func attentionRuns(on device: Device) throws -> [Run] {
        guard device.runsBehind else { return [] }
        var samples = Samples(seed: 4, device: device)
        let (queries, keys) = ([2, 2048, 16, 128], [2, 2048, 4, 128])
        let q = try samples.array(queries, .bf16), dy = try samples.array(queries, .bf16)
        let k = try samples.array(keys, .bf16), v = try samples.array(keys, .bf16)
        var runs: [(String, () throws -> [NDArray?])] = [
            (
                "Attention",
                {
                    let (y, lse) = try BlockedAttention.forward(q: q, k: k, v: v)
                    let gradients = try BlockedAttention.backward(
                        dy: dy, q: q, k: k, v: v, output: y, logSumExp: lse)
                    return [y, lse, gradients.dq, gradients.dk, gradients.dv]
                }
            )
        ]
        if FlashAttention.refusal(try AttentionShape(q, k, v), dtype: .bf16, device: device) == nil {
            runs.append(
                (
                    "FlashAttention",
                    {
                        let (y, lse) = try FlashAttention.forward(q: q, k: k, v: v)
                        let gradients = try FlashAttention.backward(
                            dy: dy, q: q, k: k, v: v, output: y, logSumExp: lse)
                        return [y, lse, gradients.dq, gradients.dk, gradients.dv]
                    }
                ))
        }
        return runs.map { large($0.0, $0.1) }
    }

    /// The bytes of numbers, which tell apart what compares equal.
    private static func bytes(_ values: [Double]) -> [UInt8] { values.withUnsafeBytes { Array($0) } }

    /// The bytes of an array.
    static func bytes(_ array: NDArray) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: array.byteCount)
        try bytes.withUnsafeMutableBytes { try array.read(into: $0) }
        return bytes
    }
}
