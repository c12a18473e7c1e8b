import Dispatch
import LigerCollectives
import LigerRuntime
import Synchronization
import TestSupport
import Testing
import Tile

/// Sums over ranks that are threads of this process: memory is shared between them as between processes.
@Suite struct SumTests {
    /// Runs `body` as each of some ranks, and returns what it came to, in their order.
    private func ranks<Value: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Communicator) throws -> Value
    ) throws -> [Value] {
        let identifier = try Communicator.makeIdentifier(for: .cpu)
        let results = Mutex<[Int: Result<Value, any Error>]>([:])
        let group = DispatchGroup()
        for rank in 0..<count {
            // A queue each, as all must run at a time.
            DispatchQueue(label: "rank \(rank)").async(group: group) {
                let result = Result {
                    try body(Communicator(rank: rank, of: count, identifier: identifier, device: .cpu))
                }
                results.withLock { $0[rank] = result }
            }
        }
        group.wait()
        return try results.withLock { results in try (0..<count).map { try results[$0]!.get() } }
    }

    private static func values(rank: Int, array: Int, count: Int) -> [Float] {
        var generator = SeededGenerator(seed: UInt64(100 * rank + array))
        return (0..<count).map { _ in Float.random(in: -4...4, using: &generator) }
    }

    /// Nothing, fewer elements than ranks, less than a vector, odd shares, several vectors of both types, several
    /// programs of the kernel.
    private static let sizes = [0, 1, 2, 3, 5, 16, 17, 33, 255, 4097, 20_000]

    @Test(arguments: [1, 2, 3, 5], [DType.f32, .bf16])
    func sumsAreInTheOrderOfRanks(count: Int, dtype: DType) throws {
        let found = try ranks(count) { communicator in
            let arrays = try Self.sizes.enumerated().map { index, size in
                try NDArray(
                    Self.values(rank: communicator.rank, array: index, count: size), dtype: dtype,
                    device: .cpu)
            }
            try communicator.sum(arrays)
            return try arrays.map { try $0.hostValues() }
        }
        for (index, size) in Self.sizes.enumerated() {
            let terms = try (0..<count).map { rank in
                try NDArray(Self.values(rank: rank, array: index, count: size), dtype: dtype, device: .cpu)
                    .hostValues().map { Float($0) }
            }
            let sums = (0..<size).map { place in terms[1...].reduce(terms[0][place]) { $0 + $1[place] } }
            let expected = try NDArray(sums, dtype: dtype, device: .cpu).hostValues()
            for rank in 0..<count {
                #expect(found[rank][index] == expected, "rank \(rank), \(size) elements")
            }
        }
    }

    /// Longer than a bucket: parts of 64 MiB.
    @Test func longArraysComeInParts() throws {
        let size = 17 << 20
        let found = try ranks(2) { communicator in
            let array = try NDArray(empty: [size], device: .cpu)
            try array.hostAddress().withMemoryRebound(to: Float.self, capacity: size) { values in
                for i in 0..<size { values[i] = Float(i % 1000 + communicator.rank) }
            }
            try communicator.sum([array])
            return try array.hostAddress().withMemoryRebound(to: Float.self, capacity: size) { values in
                (0..<size).count { values[$0] != Float(2 * ($0 % 1000) + 1) }
            }
        }
        #expect(found == [0, 0])
    }

    /// Whoever waits for a rank that does not come is let go.
    @Test func abortEndsWaiting() throws {
        let found = try ranks(2) { communicator -> String in
            if communicator.rank == 1 { return "" }
            DispatchQueue(label: "watch").asyncAfter(deadline: .now() + 0.2) { communicator.abort() }
            let array = try NDArray.zeros([100], device: .cpu)
            let error = #expect(throws: RuntimeError.self) { try communicator.sum([array]) }
            #expect(throws: RuntimeError.self) { try communicator.sum([array]) }
            #expect(throws: RuntimeError.self) { try communicator.check() }
            return error.map(String.init(describing:)) ?? ""
        }
        #expect(found[0].contains("Another rank has ended"))
    }
}
