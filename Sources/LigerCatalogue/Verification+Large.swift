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
}
