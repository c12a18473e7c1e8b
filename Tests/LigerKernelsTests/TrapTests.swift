import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Faults that users of kernels like these met; `Documentation/Traps.md` lists them with their tests.
@Suite struct TrapTests {
    /// Values rounded to a storage type.
    private func rounded(_ values: [Float], _ dtype: DType) throws -> [Float] {
        try NDArray(values, dtype: dtype).floats
    }

    /// The bits of model families: Llama rounds before the weight multiplies, Gemma only after 1 + w did.
    @Test(arguments: [DType.bf16, .f16])
    func castingHasTheFamilysBits(dtype: DType) throws {
        var random = SeededGenerator(seed: 1)
        let x = try random.array([1, 1000], dtype), w = try random.array([1000], dtype)
        let (values, weights) = (x.floats, w.floats)
        func run(_ options: RMSNorm.Options) throws -> (y: [Float], normal: [Float]) {
            let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
            return (y.floats, values.map { $0 * rstd.floats[0] })
        }
        let llama = try run(.init(casting: .llama))
        let twice = try rounded(zip(rounded(llama.normal, dtype), weights).map { $0 * $1 }, dtype)
        #expect(llama.y == twice)
        let gemma = try run(.init(offset: 1, casting: .gemma))
        #expect(gemma.y == (try rounded(zip(gemma.normal, weights).map { $0 * (1 + $1) }, dtype)))
        let none = try run(.init(casting: .none))
        #expect(none.y == (try rounded(zip(none.normal, weights).map { $0 * $1 }, dtype)))
        #expect(zip(none.y, llama.y).count { $0 != $1 } > 100)
    }

    /// Weights of another type than the input, both ways round; gradients have the types of what they belong to.
    @Test(arguments: floatTypes, floatTypes)
    func mixesTypesInNorms(input: DType, parameter: DType) throws {
        var random = SeededGenerator(seed: 2)
        let x = try random.array([9, 130], input), dy = try random.array([9, 130], input)
        let w = try random.array([130], parameter, in: 0.5...2), b = try random.array([130])
        let options = RMSNorm.Options(casting: .none)
        let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
        let (dx, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
        let eps = Double(options.eps)
        let expected = RMSNorm.Reference.forward(
            x.doubles, weight: w.doubles, columns: 130, eps: eps, offset: 0)
        let gradient = RMSNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: 130, eps: eps, offset: 0)
        #expect(y.dtype == input && dx.dtype == input && dw?.dtype == parameter)
        #expect(relativeError(y.doubles, expected.y) < bound(input))
        #expect(relativeError(dx.doubles, gradient.dx, scale: 16) < bound(input))
        #expect(relativeError(dw?.doubles ?? [], gradient.dw) < bound(parameter, terms: 9))

        let layer = try LayerNorm.forward(x, weight: w, bias: b, eps: 1e-2)
        let layerExpected = LayerNorm.Reference.forward(
            x.doubles, weight: w.doubles, bias: b.doubles, columns: 130, eps: Double(Float(1e-2)))
        #expect(layer.y.dtype == input)
        #expect(relativeError(layer.y.doubles, layerExpected.y, scale: 8) < bound(input))
    }

    /// Mean squares far below eps, as large as it, and 0.
    @Test(arguments: [Float(0), 1e-6, 1e-3], [Float(1e-6), 1e-5])
    func epsKeepsItsDigits(size: Float, eps: Float) throws {
        let x = try NDArray((0..<200).map { size * Float($0 % 7 - 3) }, [2, 100])
        let dy = try NDArray((0..<200).map { Float($0 % 5) - 2 }, [2, 100])
        let w = try NDArray([Float](repeating: 3, count: 100))
        let options = RMSNorm.Options(eps: eps)
        let (y, rstd) = try RMSNorm.forward(x, weight: w, options)
        let (dx, _) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
        let expected = RMSNorm.Reference.forward(
            x.doubles, weight: w.doubles, columns: 100, eps: Double(eps), offset: 0)
        let gradient = RMSNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: 100, eps: Double(eps), offset: 0)
        #expect(relativeError(rstd.doubles, expected.rstd) < bound(.f32))
        #expect(relativeError(y.doubles, expected.y) < bound(.f32))
        #expect(relativeError(dx.doubles, gradient.dx) < bound(.f32, terms: 4))
    }

    /// Row counts around what programs share, and many rows: sums over them stay fp32 until the end.
    @Test(arguments: [1, 2, 3, 7, 8, 9, 31, 32, 33, 63, 64, 65, 4099])
    func sumsOverAnyNumberOfRows(rows: Int) throws {
        var random = SeededGenerator(seed: UInt64(rows))
        let x = try random.array([rows, 33], .bf16), dy = try random.array([rows, 33], .bf16, in: 0...2)
        let w = try random.array([33], .bf16)
        let options = RMSNorm.Options(eps: 1e-5, casting: .none)
        let (_, rstd) = try RMSNorm.forward(x, weight: w, options)
        let before = (x.floats, dy.floats)
        let (_, dw) = try RMSNorm.backward(dy: dy, x: x, weight: w, rstd: rstd, options)
        // A residual still needs what the backward pass read.
        #expect(x.floats == before.0 && dy.floats == before.1)
        let expected = RMSNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: 33, eps: Double(options.eps), offset: 0)
        #expect(relativeError(dw?.doubles ?? [], expected.dw) < bound(.bf16, terms: rows))

        let (_, mean, deviation) = try LayerNorm.forward(x, weight: w, bias: w, eps: 1e-2)
        let layer = try LayerNorm.backward(
            dy: dy, x: x, weight: w, mean: mean, rstd: deviation, needsBias: true)
        let layerExpected = LayerNorm.Reference.backward(
            dy: dy.doubles, x: x.doubles, weight: w.doubles, columns: 33, eps: Double(Float(1e-2)))
        #expect(relativeError(layer.dw?.doubles ?? [], layerExpected.dw) < bound(.bf16, terms: rows))
        #expect(relativeError(layer.db?.doubles ?? [], layerExpected.db) < bound(.bf16, terms: rows))
    }

    /// Two widths in turns, first compiled and then found again: a kernel of one never serves the other.
    @Test func widthsDoNotMix() throws {
        func norms(_ columns: Int, _ options: RMSNorm.Options) throws -> [Double] {
            let x = try NDArray((0..<columns).map { Float($0 % 13) - 5 }, [1, columns])
            let w = try NDArray((0..<columns).map { Float($0 % 3) })
            let y = try RMSNorm.forward(x, weight: w, options).y
            let expected = RMSNorm.Reference.forward(
                x.doubles, weight: w.doubles, columns: columns, eps: Double(options.eps),
                offset: Double(options.offset))
            #expect(relativeError(y.doubles, expected.y) < bound(.f32))
            return y.doubles
        }
        let first = try norms(771, .init())
        for _ in 0..<2 {
            for columns in [770, 771, 772] {
                for options in [RMSNorm.Options(eps: 1e-3), .init(offset: 1), .init(eps: 10, offset: 0.5)] {
                    _ = try norms(columns, options)
                }
            }
        }
        #expect(try norms(771, .init()) == first)
    }
}
