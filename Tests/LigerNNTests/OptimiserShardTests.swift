import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Parts of the optimiser's state.
@Suite struct OptimiserShardTests {
    private static let unit = OptimiserShard.unit

    /// Nothing, less than a unit, whole units, a rest; and what is not cut as it has no whole vectors.
    @Test(arguments: [0, 1, 40, 16_384, 16_392, 100_000, 131_072, 100_001], [1, 2, 3, 5])
    func partsMakeUpTheWhole(elements: Int, count: Int) {
        for number in 0..<4 {
            let parts = OptimiserShard(rank: 0, of: count).parts(of: elements, number: number)
            #expect(parts.count == count && parts.reduce(0) { $0 + $1.count } == elements)
            let inOrder = parts.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
            #expect(inOrder.first?.lowerBound ?? 0 == 0)
            for (part, next) in zip(inOrder, inOrder.dropFirst()) {
                #expect(part.upperBound == next.lowerBound && next.lowerBound % Self.unit == 0)
            }
            if elements % 8 != 0 { #expect(inOrder.count == 1) }
            #expect(elements == 0 || !parts[(count - number % count) % count].isEmpty)
        }
    }

    /// Ranks that each update their part come to the weights, and to the state, of one that updates all.
    @Test(arguments: [(DType.f32, false), (.bf16, false), (.bf16, true)], [DType.f32, .u8])
    func partsAreUpdatedAsTheWhole(weights: (dtype: DType, atRandom: Bool), moments: DType) throws {
        let (dtype, atRandom) = weights
        let whole = try Run(dtype, moments, atRandom, shard: nil)
        let ranks = try (0..<3).map {
            try Run(dtype, moments, atRandom, shard: OptimiserShard(rank: $0, of: 3))
        }
        for (number, parameter) in whole.parameters.enumerated() {
            let expected = parameter.value.flattened.floats
            for run in ranks {
                let part = run.optimiser.parts[number].parts[run.rank]
                let found = run.parameters[number].value.flattened.floats
                #expect(found[part] == expected[part])
            }
        }
        for (number, saved) in whole.optimiser.savedArrays.enumerated() {
            let expected = saved.array.flattened.floats
            var count = 0
            for run in ranks {
                let own = run.optimiser.savedArrays[number]
                let part = try #require(own.parts)[run.rank]
                #expect(
                    own.name == saved.name && own.shape == saved.shape && own.array.dtype == saved.array.dtype
                )
                #expect(own.array.floats == Array(expected[part]))
                count += part.count
            }
            #expect(count == expected.count)
        }
    }

    private struct Run {
        let rank: Int
        let parameters: [Parameter]
        let optimiser: AdamWOptimiser

        init(_ dtype: DType, _ moments: DType, _ atRandom: Bool, shard: OptimiserShard?) throws {
            rank = shard?.rank ?? 0
            parameters = [[300, 256], [70_000], [64], [5, 16_384], [40_001]].enumerated().map {
                Parameter("p\($0)", $1, dtype: dtype, initialisation: .normal(deviation: 1))
            }
            for (number, parameter) in parameters.enumerated() {
                try parameter.allocate(on: .cpu)
                try parameter.initialise(seed: 1, stream: UInt32(number))
            }
            optimiser = try AdamWOptimiser(
                parameters, .init(),
                storage: .init(keepsMasters: !atRandom, moments: moments, roundsAtRandom: atRandom), seed: 5,
                shard: shard)
            for step in 0..<3 {
                var random = SeededGenerator(seed: UInt64(step))
                for (number, parameter) in parameters.enumerated() {
                    let gradient = try random.array([parameter.count], .f32)
                    let part = shard?.parts(of: parameter.count, number: number)[rank]
                    parameter.gradient =
                        part.map { gradient.sliced(0, $0) } ?? gradient.reshaped(parameter.shape)
                }
                try optimiser.update(learningRate: 0.01)
            }
        }
    }

    /// The rank with the most bytes, not the average: here all is one rank's.
    @Test func theLargestPartIsFound() {
        let small = Parameter("small", [64], initialisation: .constant(0))
        let large = Parameter("large", [40_001], initialisation: .constant(0))
        let storage = AdamWOptimiser.Storage()
        // The first parameter's first part is rank 0's, the second's rank 2's.
        let first = storage.shardBytes([small, large], ranks: 3)
        #expect(first[2] == first.max())
        let second = storage.shardBytes([large, small], ranks: 3)
        #expect(second[0] == second.max())
    }
}
