import Dispatch
import LigerCollectives
import LigerRuntime
import TestSupport
import Testing
import Tile

/// What ranks 0 and 1 come to together at a place, where each has (place mod 1000) + rank.
private func sumOfTwo(_ place: Int) -> Float { Float(2 * (place % 1000) + 1) }

/// Sums over ranks that are threads of this process: memory is shared between them as between processes.
@Suite struct SumTests {
    /// Runs `body` as each of some ranks, and returns what it came to, in their order.
    private func ranks<Value: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Communicator) throws -> Value
    ) throws -> [Value] {
        let identifier = try Communicator.makeIdentifier(for: .cpu)
        return try onThreads(count) { rank in
            try body(Communicator(rank: rank, of: count, identifier: identifier, device: .cpu))
        }
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
                (0..<size).count { values[$0] != sumOfTwo($0) }
            }
        }
        #expect(found == [0, 0])
    }

    /// Parts of any length and order, of which a rank may have none: the sums are those that `sum` gives, part by part, and
    /// gathered again they are all of it.
    @Test(arguments: [2, 3], [DType.f32, .bf16])
    func partsAreScatteredAndGathered(count: Int, dtype: DType) throws {
        let found = try ranks(count) { communicator in
            let rank = communicator.rank
            let arrays = try Self.sizes.enumerated().map { index, size in
                try NDArray(Self.values(rank: rank, array: index, count: size), dtype: dtype, device: .cpu)
            }
            let parted = arrays.enumerated().map { index, array in
                PartedArray(array, parts: Self.parts(of: array.count, index: index, ranks: count))
            }
            let before = try arrays.map { try $0.hostValues() }
            let sums = try communicator.scatter(parted)
            let isUnchanged = try arrays.map { try $0.hostValues() } == before
            for (sum, parted) in zip(sums, parted) {
                try sum.copyBytes(to: parted.array.sliced(0, parted.parts[rank]))
            }
            try communicator.gather(parted)
            let gathered = try arrays.map { try $0.hostValues() }
            let again = try zip(before, arrays).map {
                try NDArray($0.map { Float($0) }, dtype: dtype, device: $1.device)
            }
            try communicator.sum(again)
            return (isUnchanged, gathered, try again.map { try $0.hostValues() })
        }
        for (isUnchanged, gathered, sums) in found {
            #expect(isUnchanged && gathered == sums && gathered == found[0].1)
        }
    }

    /// A third of an array to each, or all of it to one, in an order that goes round.
    private static func parts(of size: Int, index: Int, ranks: Int) -> [Range<Int>] {
        let each = index % 2 == 0 ? size : (size + ranks - 1) / ranks
        return (0..<ranks).map { rank in
            let place = (rank + index) % ranks
            return min(place * each, size)..<min((place + 1) * each, size)
        }
    }

    /// Parts longer than a bucket come in stretches.
    @Test func longPartsComeInStretches() throws {
        let size = 20 << 20
        let wrong = try ranks(2) { communicator in
            let array = try NDArray(empty: [size], device: .cpu)
            let values = UnsafeMutableBufferPointer(
                start: try array.hostAddress().assumingMemoryBound(to: Float.self), count: size)
            for i in 0..<size { values[i] = Float(i % 1000 + communicator.rank) }
            let parts = [4 << 20..<size, 0..<4 << 20]
            let parted = PartedArray(array, parts: parts)
            let own = try communicator.scatter([parted])[0]
            let part = parts[communicator.rank]
            let sums = try own.hostAddress().assumingMemoryBound(to: Float.self)
            let wrong = part.count { sums[$0 - part.lowerBound] != sumOfTwo($0) }
            try own.copyBytes(to: array.sliced(0, part))
            try communicator.gather([parted])
            return withExtendedLifetime(array) {
                wrong + (0..<size).count { values[$0] != sumOfTwo($0) }
            }
        }
        #expect(wrong == [0, 0])
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
