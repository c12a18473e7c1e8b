import LigerKernels
import LigerNN
import LigerRuntime
import TestSupport
import Testing
import Tile

/// A linear layer that multiplies in 8-bit floats, against its formula in Double from factors that are rounded here.
@Suite struct Float8LinearTests {
    /// A matrix in Double.
    private struct Matrix {
        let rows, columns: Int
        var values: [Double]

        /// Rounded to 8 bits with one scale, as `Float8Matrix` says.
        func rounded(to type: DType) -> Matrix {
            let (codes, scale) = Float8Matrix.reference(values.map { Float($0) }, to: type)
            return Matrix(rows: rows, columns: columns, values: codes.map { Double($0) * Double(scale) })
        }

        var transposed: Matrix {
            Matrix(
                rows: columns, columns: rows,
                values: (0..<rows * columns).map { values[$0 % rows * columns + $0 / rows] })
        }

        func times(_ other: Matrix) -> [Double] {
            (0..<rows * other.columns).map { place in
                let (row, column) = (place / other.columns, place % other.columns)
                return (0..<columns).reduce(0) {
                    $0 + values[row * columns + $1] * other.values[$1 * other.columns + column]
                }
            }
        }
    }

    /// A decoder of that layer alone, set to multiply in 8 bits.
    private static func layer(
        inputs: Int, outputs: Int, isTransposed: Bool, dtype: DType, seed: UInt64
    ) throws -> (Linear, Decoder) {
        let scope = ParameterScope(dtype: dtype)
        let linear = Linear(scope["layer"], inputs: inputs, outputs: outputs, isTransposed: isTransposed)
        let decoder = Decoder(
            scope, embedding: TokenEmbedding(scope["embedding"], vocabulary: 3, hiddenSize: inputs),
            blocks: [], norm: RootMeanSquareNorm(scope["norm"], size: inputs, eps: 1e-5),
            head: LanguageHead(weight: scope["head"].weight([3, inputs])), maximumPositions: 4)
        try decoder.allocate(on: .cpu)
        var random = SeededGenerator(seed: seed)
        linear.weight.value = try random.array(linear.weight.shape, dtype, in: -1...1)
        #expect(decoder.multiplyInFloat8().converted == ["layer"])
        return (linear, decoder)
    }

    /// Rows that are a multiple of 16, one less and one more, and one: transposed factors get rows of zeros.
    @Test(arguments: [1, 15, 16, 33], [false, true]) func valuesAndGradientsFollowTheFormula(
        rows: Int, isTransposed: Bool
    ) throws {
        for dtype in [DType.f32, .bf16] {
            let (linear, _) = try Self.layer(
                inputs: 48, outputs: 32, isTransposed: isTransposed, dtype: dtype, seed: 3)
            var random = SeededGenerator(seed: UInt64(rows))
            let x = try random.parameter("x", [rows, 48], dtype, in: -3...3)
            let weights = try random.array([rows, 32], in: -2...2)
            let tape = Tape()
            let y = try linear(tape.tensor(of: x))
            try tape.backward(y.weightedSum(weights))
            let stored = Matrix(
                rows: linear.weight.shape[0], columns: linear.weight.shape[1],
                values: linear.weight.value.doubles)
            let w = (isTransposed ? stored.transposed : stored).rounded(to: .e4m3)
            let input = Matrix(rows: rows, columns: 48, values: x.value.doubles).rounded(to: .e4m3)
            // The gradient reaches the layer in its own type.
            let upstream = try weights.hostValues().map { Double(dtype == .f32 ? Float($0) : Self.bf16($0)) }
            let dy = Matrix(rows: rows, columns: 32, values: upstream).rounded(to: .e5m2)
            let bound = dtype == .f32 ? 2e-6 : 0x1p-7
            #expect(relativeError(y.value.doubles, input.times(w.transposed)) < bound)
            #expect(relativeError(x.gradient?.doubles ?? [], dy.times(w)) < (dtype == .f32 ? 2e-6 : 0x1p-7))
            let dw = isTransposed ? input.transposed.times(dy) : dy.transposed.times(input)
            // In fp32: sums of gradients are not rounded to 16 bits.
            #expect(relativeError(linear.weight.gradient?.doubles ?? [], dw) < 2e-6)
        }
    }

    private static func bf16(_ value: Double) -> Float {
        let bits = Float(value).bitPattern
        return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    /// A row, a column or all of zeros; numbers from 1e-20 to 1e20; the largest numbers.
    @Test func adversarialInputsStayFinite() throws {
        let (linear, _) = try Self.layer(inputs: 16, outputs: 16, isTransposed: false, dtype: .f32, seed: 9)
        var random = SeededGenerator(seed: 1)
        let base = random.floats(5 * 16)
        let inputs: [(String, (Int) -> Float)] = [
            ("zeros", { _ in 0 }), ("a row of zeros", { $0 / 16 == 2 ? 0 : base[$0] }),
            ("a column of zeros", { $0 % 16 == 3 ? 0 : base[$0] }),
            ("large and small", { base[$0] * ($0 % 2 == 0 ? 1e-20 : 1e20) }),
            ("tiny", { base[$0] * 1e-35 }),
        ]
        for (name, value) in inputs {
            let x = Parameter("x", [5, 16], initialisation: .constant(0))
            x.value = try NDArray((0..<80).map(value), [5, 16])
            linear.weight.gradient = nil
            let tape = Tape()
            let y = try linear(tape.tensor(of: x))
            try tape.backward(y.weightedSum(NDArray([Float](repeating: 1, count: 80), [5, 16])))
            for array in [y.value, x.gradient, linear.weight.gradient] {
                #expect(array?.doubles.allSatisfy(\.isFinite) == true, "\(name)")
            }
            #expect(name != "zeros" || y.value.doubles.allSatisfy { $0 == 0 })
        }
    }

    /// A scale is the whole matrix', so one number that is none spoils all of a product, as in Python.
    @Test(arguments: [Float.nan, .infinity]) func numbersThatAreNoneShow(bad: Float) throws {
        let (linear, _) = try Self.layer(inputs: 16, outputs: 16, isTransposed: false, dtype: .f32, seed: 9)
        var values = [Float](repeating: 1, count: 48)
        values[17] = bad
        let y = try linear(Tape().constant(NDArray(values, [3, 16])))
        #expect(y.value.doubles.allSatisfy { !$0.isFinite })
    }
}
