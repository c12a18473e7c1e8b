import Foundation
import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Cross entropy of a layer whose classes are spread over ranks that are threads, against the same layer on one.
@Suite struct ShardedClassesTests {
    /// Rows that threads give each other.
    private final class Table: @unchecked Sendable {
        private let condition = NSCondition()
        private var rows: [Int: [Float]] = [:]
        private var read = 0

        /// All rows in order, once each of `count` threads has given its own.
        func exchange(_ row: [Float], of rank: Int, _ count: Int) -> [Float] {
            condition.lock()
            defer { condition.unlock() }
            while rows[rank] != nil { condition.wait() }
            rows[rank] = row
            condition.broadcast()
            while rows.count < count { condition.wait() }
            let all = (0..<count).flatMap { rows[$0]! }
            read += 1
            if read == count { (rows, read) = ([:], 0) }
            condition.broadcast()
            while read != 0 { condition.wait() }
            return all
        }
    }

    private struct Threads: ClassRanks {
        let rank: Int
        let count: Int
        let table: Table

        func gather(rows: NDArray) throws {
            let own = try rows.sliced(0, rank..<rank + 1).hostValues().map { Float($0) }
            let all = table.exchange(own, of: rank, count)
            try all.withUnsafeBytes { try rows.write($0) }
        }
    }

    private struct Found: Sendable {
        let loss: Double
        let dInput: [Double]
        let dWeight: [Double]
    }

    private static let (tokens, hidden, ignored) = (37, 24, -100)

    private func random(_ classes: Int, _ dtype: DType) throws -> (x: NDArray, w: NDArray, labels: [Int64]) {
        var random = SeededGenerator(seed: UInt64(classes))
        let x = try random.array([Self.tokens, Self.hidden], dtype)
        let w = try random.array([classes, Self.hidden], dtype)
        let labels = (0..<Self.tokens).map { $0 % 9 == 4 ? -100 : Int64($0 * 31 % classes) }
        return (x, w, labels)
    }

    /// What becomes of logits between products: they are stored, or are exponentials as on GPUs whose kernels multiply.
    enum Way: CaseIterable {
        case logits, exponentials

        func run<Value>(_ body: () throws -> Value) rethrows -> Value {
            try LabelScores.$isForced.withValue(self == .exponentials) {
                try LogitStorage.$isAsOnGPU.withValue(self == .exponentials) { try body() }
            }
        }
    }

    /// - Parameter parts: each rank's classes.
    private func sharded(
        _ parts: [Range<Int>], _ x: NDArray, _ w: NDArray, _ labels: [Int64], budget: Int, _ way: Way
    ) throws -> [Found] {
        let table = Table(), total = w.shape[0]
        return try onThreads(parts.count) { rank in
            let device = Device(name: "rank \(rank)")
            let part = w.sliced(0, parts[rank])
            let result = try way.run {
                try ShardedLinearCrossEntropy.forward(
                    input: x.moved(to: device), weight: part.moved(to: device),
                    labels: NDArray(copying: labels, [labels.count], dtype: .i64, device: device),
                    share: ClassShare(
                        ranks: Threads(rank: rank, count: parts.count, table: table), classes: parts[rank],
                        total: total), budgetBytes: budget)
            }
            return Found(
                loss: try result.loss.hostValues()[0], dInput: try result.dInput!.hostValues(),
                dWeight: try result.dWeight!.hostValues())
        }
    }

    /// One rank, even parts, parts of unlike length, one class alone; one chunk and several.
    @Test(
        arguments: [[5], [32, 32], [1, 40, 6], [17, 100, 16]],
        Way.allCases.flatMap { way in [1 << 20, 2_000].map { (way, $0) } })
    func sumsToOne(sizes: [Int], how: (way: Way, budget: Int)) throws {
        let classes = sizes.reduce(0, +)
        var end = 0
        let parts = sizes.map { size in
            end += size
            return end - size..<end
        }
        let (x, w, labels) = try random(classes, .f32)
        let one = try FusedLinearCrossEntropy.forward(
            input: x, weight: w, labels: NDArray(copying: labels, [labels.count], dtype: .i64, device: .cpu))
        let found = try sharded(parts, x, w, labels, budget: how.budget, how.way)
        #expect(Set(found.map(\.loss)).count == 1)
        #expect(relativeError([found[0].loss], try [one.loss.hostValues()[0]]) < 1e-6)
        let dInput = found[0].dInput.indices.map { place in found.reduce(0) { $0 + $1.dInput[place] } }
        #expect(normError(dInput, try one.dInput!.hostValues()) < 1e-6)
        #expect(normError(found.flatMap(\.dWeight), try one.dWeight!.hostValues()) < 1e-6)
    }

    /// In bf16 exponentials are off by roundings of e, of x and of results, whatever the logits: stored ones are off by 2 to
    /// 100% here.
    @Test(arguments: [Float(1), 10, 30], [false, true])
    func exponentialsAreExact(deviation: Float, isSurprising: Bool) throws {
        let (x, plain, _) = try random(96, .bf16)
        // Values are uniform from -1 to 1: a product's deviation is the square root of 24 ninths.
        let w = try NDArray(
            plain.hostValues().map { Float($0) * deviation / (24.0 / 9).squareRoot() }, plain.shape,
            dtype: .bf16)
        let exact = try (x: Cast.apply(x, to: .f32), w: Cast.apply(w, to: .f32))
        let logits = try MatMul.apply(exact.x, exact.w, transposeB: true).hostValues()
        let labels = (0..<Self.tokens).map { token -> Int64 in
            let row = Array(logits[token * 96..<(token + 1) * 96])
            let order = row.indices.sorted { row[$0] < row[$1] }
            return token == 3 ? -100 : Int64(isSurprising ? order[0] : order[95 - token % 5])
        }
        let one = try FusedLinearCrossEntropy.forward(
            input: exact.x, weight: exact.w,
            labels: NDArray(copying: labels, [labels.count], dtype: .i64, device: .cpu))
        let found = try sharded([0..<40, 40..<96], x, w, labels, budget: 2_000, .exponentials)
        #expect(Set(found.map(\.loss)).count == 1)
        #expect(relativeError([found[0].loss], try [one.loss.hostValues()[0]]) < 3e-6)
        // The input's parts are rounded once each before they are added up.
        let dInput = found[0].dInput.indices.map { found[0].dInput[$0] + found[1].dInput[$0] }
        #expect(normError(dInput, try one.dInput!.hostValues()) < 6e-3)
        #expect(normError(found.flatMap(\.dWeight), try one.dWeight!.hostValues()) < 5e-3)
    }

    /// Of rows that do not count nothing is taken, whatever they hold.
    @Test(arguments: Way.allCases) func ignoredRowsMayHoldAnything(way: Way) throws {
        let (x, w, labels) = try random(48, .f32)
        let rows = try x.hostValues().enumerated().map { place, value -> Float in
            labels[place / Self.hidden] == -100 ? .nan : Float(value)
        }
        let spoilt = try NDArray(rows).reshaped(x.shape)
        let found = try sharded([0..<24, 24..<48], spoilt, w, labels, budget: 1 << 20, way)
        let plain = try sharded([0..<24, 24..<48], x, w, labels, budget: 1 << 20, way)
        #expect(found[0].loss == plain[0].loss && found[0].loss.isFinite)
        for (place, (a, b)) in zip(found[1].dInput, plain[1].dInput).enumerated() {
            #expect(a == b, "element \(place)")
        }
    }

    /// Logits of one rank far above those of the other, which has the second label: exponentials neither overflow nor vanish.
    @Test(arguments: Way.allCases) func farApart(way: Way) throws {
        let x = try NDArray([1, 1]).reshaped([2, 1])
        let w = try NDArray([300, 299, -300, -301]).reshaped([4, 1])
        let found = try sharded([0..<2, 2..<4], x, w, [1, 2], budget: 1 << 20, way)
        // log(1 + e^1) and 600 + log(1 + e^-1), in Double.
        let expected = (log(1 + exp(1.0)) + 600 + log(1 + exp(-1.0))) / 2
        #expect(abs(found[0].loss - expected) < 1e-4)
        // Of the first token e / (1 + e) goes to class 0; of the second all but 0.269 to it, and all from class 2.
        let p = 1 / (1 + exp(-1.0)), dWeight = found.flatMap(\.dWeight)
        #expect(normError(dWeight, [p, (-p + 1 - p) / 2, -0.5, 0]) < 1e-6, "\(dWeight)")
    }

    @Test(arguments: Way.allCases) func labelsAreChecked(way: Way) throws {
        let (x, w, _) = try random(16, .f32)
        var labels = [Int64](repeating: 3, count: Self.tokens)
        labels[5] = 16
        let text = message { _ = try sharded([0..<8, 8..<16], x, w, labels, budget: 1 << 20, way) }
        #expect(text.contains("16"), "\(text)")
    }
}
