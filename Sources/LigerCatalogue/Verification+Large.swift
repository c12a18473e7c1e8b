import LigerKernels
import LigerLosses
package import LigerRuntime
import Tile

extension Verification {
    /// Whether an operation over more than 2^31 elements does the same to its last rows as it does to them alone:
    /// what an offset of 32 bits would get wrong.
    package struct LargeResult: Sendable {
        package let operation: String
        package let elements: Int
        /// Quantities whose bits differ.
        package let differing: [String]
    }

    /// Runs each on a device with some 30 GB free.
    ///
    /// - Parameter rows: of 4,096 elements; the default is just above 2^31 elements.
    package static func large(
        on device: Device, rows: Int = (1 << 31) / 4096 + 5,
        _ report: (LargeResult) throws -> Void
    ) throws {
        let columns = 4096, sample = 5
        func made(_ stream: UInt32) throws -> NDArray {
            let array = try NDArray(empty: [rows, columns], dtype: .bf16, device: device)
            try RandomFill.normal(array, seed: 9, stream: stream)
            return array
        }
        func last(_ array: NDArray) -> NDArray {
            array.sliced(0, (array.shape[0] - sample)..<array.shape[0])
        }
        func check(
            _ operation: String, _ quantities: [(name: String, whole: NDArray, alone: NDArray)]
        ) throws {
            let differing = try quantities.filter { try bytes(last($0.whole)) != bytes($0.alone) }
            try report(
                LargeResult(
                    operation: operation, elements: rows * columns, differing: differing.map(\.name)))
        }
        let x = try made(0), dy = try made(1), weight = x.sliced(0, 0..<1).flattened
        do {
            let (y, rstd) = try RMSNorm.forward(x, weight: weight)
            let alone = try RMSNorm.forward(last(x), weight: weight)
            let (dx, _) = try RMSNorm.backward(dy: dy, x: x, weight: weight, rstd: rstd)
            let gradient = try RMSNorm.backward(
                dy: last(dy), x: last(x), weight: weight, rstd: alone.rstd)
            try check("RMSNorm", [("y", y, alone.y), ("dx", dx, gradient.dx)])
        }
        do {
            let y = try SwiGLU.forward(gate: x, up: dy)
            try check("SwiGLU", [("y", y, try SwiGLU.forward(gate: last(x), up: last(dy)))])
        }
        do {
            let y = try Softmax.forward(x)
            try check("Softmax", [("y", y, try Softmax.forward(last(x)))])
        }
        do {
            let labels = try NDArray(integers: (0..<rows).map { $0 % columns }, device: device)
            let options = CrossEntropy.Options(reduction: .sum)
            let whole = try CrossEntropy.forward(
                logits: x, labels: labels, options: options, wants: .gradient)
            let alone = try CrossEntropy.forward(
                logits: last(x), labels: last(labels), options: options, wants: .gradient)
            try check("CrossEntropy", [("dlogits", whole.gradient ?? x, alone.gradient ?? x)])
        }
        do {
            let ids = try NDArray(integers: (0..<sample).map { rows - sample + $0 }, device: device)
            try check("Embedding", [("y", try Embedding.forward(ids: ids, table: x), last(x))])
        }
    }

    /// The bytes of an array.
    private static func bytes(_ array: NDArray) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: array.byteCount)
        try bytes.withUnsafeMutableBytes { try array.read(into: $0) }
        return bytes
    }

    // MARK: Repetitions

    /// Runs operations that sum over rows again and again.
    ///
    /// - Returns: of each operation, how many repetitions gave other bits than its first run.
    package static func repetitions(
        _ count: Int, on device: Device
    ) throws -> [(operation: String, differing: Int)] {
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
        return try (operations + attentionRuns(on: device)).map { name, run in
            let first = try run().map { try $0.map(bytes) }
            var differing = 0
            for _ in 1..<max(count, 2) where try run().map({ try $0.map(bytes) }) != first { differing += 1 }
            return (name, differing)
        }
    }

    /// Both ways to attention and its gradients, on a GPU.
    private static func attentionRuns(on device: Device) throws -> [(String, () throws -> [NDArray?])] {
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
        return runs
    }
}
