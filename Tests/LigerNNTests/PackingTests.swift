import LigerCPU
import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Documents that share rows, compared with the same documents in padded rows of their own.
@Suite struct PackingTests {
    /// Two rows of 60 tokens, with documents of 25, 1, 34, and of 40 and 20.
    static let starts = [[0, 25, 26], [0, 40]]
    static let length = 60

    struct Batch {
        let ids, labels: NDArray
        let packed: DocumentBorders
        /// A document a row, filled up with zeros and ignored labels.
        let paddedIDs, paddedLabels: NDArray
        /// The place of each document's tokens among all tokens of the packed rows.
        let places: [Range<Int>]

        init() throws {
            var random = SeededGenerator(seed: 8)
            let count = 2 * PackingTests.length
            let tokens = (0..<count).map { _ in Int.random(in: 0..<37, using: &random) }
            let borders = try DocumentBorders(
                starts: PackingTests.starts, length: PackingTests.length, device: .cpu)
            let places = (0..<2).flatMap { row in
                borders.ranges(ofRow: row).map {
                    ($0.lowerBound + row * PackingTests.length)..<($0.upperBound + row * PackingTests.length)
                }
            }
            var next = tokens.dropFirst() + [-100]
            for place in places { next[next.startIndex + place.upperBound - 1] = -100 }
            let labels = Array(next)
            func padded(_ values: [Int], _ filling: Int) -> [Int] {
                places.flatMap {
                    values[$0] + Array(repeating: filling, count: PackingTests.length - $0.count)
                }
            }
            (packed, self.places) = (borders, places)
            ids = try NDArray(integers: tokens, [2, PackingTests.length])
            self.labels = try NDArray(integers: labels, [2, PackingTests.length])
            paddedIDs = try NDArray(integers: padded(tokens, 0), [places.count, PackingTests.length])
            paddedLabels = try NDArray(integers: padded(labels, -100), [places.count, PackingTests.length])
        }
    }

    @Test(arguments: [KernelSelection.liger, .reference])
    func logitsHaveTheBitsOfPaddedRows(kernels: KernelSelection) throws {
        try BLAS.$replacement.withValue(.inOrder) { try expectBitsOfPaddedRows(kernels) }
    }

    private func expectBitsOfPaddedRows(_ kernels: KernelSelection) throws {
        let batch = try Batch()
        let decoder = try SmallDecoder(headNorms: true).make(kernels)
        let packed = try decoder.logits(batch.ids, documents: batch.packed, on: Tape(recording: false)).value
            .floats
        let padded = try decoder.logits(batch.paddedIDs, on: Tape(recording: false)).value.floats
        for (row, place) in batch.places.enumerated() {
            let start = row * Self.length * 37
            let isSame =
                packed[(place.lowerBound * 37)..<(place.upperBound * 37)].map(\.bitPattern)
                == padded[start..<(start + place.count * 37)].map(\.bitPattern)
            #expect(isSame, "document \(row)")
        }
        // A row that is one document has other numbers.
        let leaking = try decoder.logits(batch.ids, on: Tape(recording: false)).value.floats
        #expect(leaking != packed)
    }

    @Test(arguments: [KernelSelection.liger, .reference], [false, true])
    func lossesAndGradientsAreThoseOfPaddedRows(kernels: KernelSelection, blocked: Bool) throws {
        let batch = try Batch()
        func step(packed: Bool) throws -> (loss: Double, gradients: [NDArray]) {
            let decoder = try SmallDecoder(headNorms: true).make(kernels)
            let tape = Tape()
            let loss = try CausalAttention.$isAlwaysBlocked.withValue(blocked) {
                let loss =
                    packed
                    ? try decoder.loss(batch.ids, batch.labels, documents: batch.packed, on: tape)
                    : try decoder.loss(batch.paddedIDs, batch.paddedLabels, on: tape)
                try tape.backward(loss)
                return loss
            }
            return (loss.value.doubles[0], decoder.parameters.compactMap(\.gradient))
        }
        let (packed, padded) = (try step(packed: true), try step(packed: false))
        #expect(abs(packed.loss - padded.loss) < 1e-6)
        for (a, b) in zip(packed.gradients, padded.gradients) {
            #expect(normError(a.doubles, b.doubles) < 3e-6)
        }
    }

    /// A row may be longer than the model's positions, its documents not.
    @Test func documentsMustFitThePositions() throws {
        let decoder = try SmallDecoder().make()
        let ids = try NDArray(integers: Array(repeating: 3, count: 200), [1, 200])
        let short = try DocumentBorders(starts: [[0, 100]], length: 200, device: .cpu)
        #expect(try decoder.logits(ids, documents: short, on: Tape(recording: false)).shape == [1, 200, 37])
        let long = try DocumentBorders(starts: [[0, 10]], length: 200, device: .cpu)
        #expect(throws: RuntimeError.self) {
            try decoder.logits(ids, documents: long, on: Tape(recording: false))
        }
        #expect(throws: RuntimeError.self) {
            try decoder.logits(ids, documents: Batch().packed, on: Tape(recording: false))
        }
    }
}
