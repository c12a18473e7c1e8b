import LigerCatalogue
import LigerKernels
import LigerRuntime
import Testing
import Tile

/// Sums over rows, by each of the ways that shapes are summed, against Double.
@Suite struct ColumnSumTests {
    /// Few rows, more than a program's columns; many, which lanes lie along; and many short ones, summed in two steps.
    /// Columns that fill the last program, and that do not.
    @Test(
        arguments: [
            (3, 700), (300, 40), (1024, 8), (4096, 128), (4097, 128), (2048, 512), (2048, 520), (300, 41),
            (40, 7), (2048, 385),
        ],
        [DType.f32, .bf16])
    func sumsRows(shape: (rows: Int, columns: Int), dtype: DType) throws {
        var samples = Samples(seed: 7)
        let arrays = try (0..<2).map { _ in try samples.array([shape.rows, shape.columns], dtype) }
        let expected = arrays.map { array in
            let values = array.doubles
            return (0..<shape.columns).map { c in
                (0..<shape.rows).reduce(0) { $0 + values[$1 * shape.columns + c] }
            }
        }
        let both = try ColumnSum.apply([(arrays[0], DType.f32), nil, (arrays[1], .f32)])
        #expect(both[1] == nil)
        let found = [try #require(both[0]), try #require(both[2])]
        for (sum, exact) in zip(found, expected) { #expect(relativeError(sum.doubles, exact) < 1e-6) }

        try ColumnSum.apply(arrays[0], into: found[0], accumulate: true)
        #expect(relativeError(found[0].doubles, expected[0].map { 2 * $0 }) < 1e-6)
    }
}
