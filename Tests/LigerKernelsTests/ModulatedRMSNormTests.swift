import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct ModulatedRMSNormTests {
    /// One modulation for all rows, one for each, some rows each, and more modulations than there are programs; with
    /// and without weight and shift.
    static let cuts = [
        (rows: 1, modulations: 1), (rows: 37, modulations: 1), (rows: 37, modulations: 37),
        (rows: 36, modulations: 4), (rows: 198, modulations: 66), (rows: 300, modulations: 2),
    ]

    @Test(arguments: [1, 3, 64, 513], floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        for (number, cut) in Self.cuts.enumerated() {
            let x = try random.array([cut.rows, columns], dtype),
                dy = try random.array([cut.rows, columns], dtype)
            let weight = number % 2 == 0 ? try random.array([columns], dtype) : nil
            let scale = try random.array([cut.modulations, columns], .f32)
            let shift = number % 3 == 0 ? try random.array([cut.modulations, columns], dtype) : nil
            let options = RMSNorm.Options(eps: 1e-5, offset: 0.5, casting: .none)
            let (y, rstd) = try ModulatedRMSNorm.forward(
                x, weight: weight, scale: scale, shift: shift, options)
            let expected = ModulatedRMSNorm.Reference.forward(
                x.doubles, weight: weight?.doubles, scale: scale.doubles, shift: shift?.doubles,
                columns: columns, eps: 1e-5, offset: 0.5)
            #expect(
                relativeError(y.doubles, expected, scale: largest(expected, 2)) < bound(dtype, terms: columns)
            )

            let found = try ModulatedRMSNorm.backward(
                dy: dy, x: x, weight: weight, scale: scale, shift: shift, rstd: rstd, options)
            let gradient = ModulatedRMSNorm.Reference.backward(
                dy: dy.doubles, x: x.doubles, weight: weight?.doubles, scale: scale.doubles, columns: columns,
                eps: 1e-5, offset: 0.5)
            let check = { (name: String, found: NDArray?, expected: [Double], terms: Int, scale: Double) in
                #expect(
                    relativeError(found?.doubles ?? [], expected, scale: largest(expected, scale))
                        < bound(dtype, terms: terms), "\(name), \(cut)")
            }
            // The terms of dx, which cancel, are of the size of r m.
            check("dx", found.dx, gradient.dx, columns, 8 * largest(rstd.doubles, 1))
            check("dscale", found.dscale, gradient.dscale, cut.rows, 4)
            #expect((found.dweight == nil) == (weight == nil) && (found.dshift == nil) == (shift == nil))
            if weight != nil { check("dweight", found.dweight, gradient.dweight, cut.rows, 4) }
            if shift != nil { check("dshift", found.dshift, gradient.dshift, cut.rows, 4) }
            let frozen = try ModulatedRMSNorm.backward(
                dy: dy, x: x, weight: weight, scale: scale, shift: shift, rstd: rstd, options,
                needs: .init(weight: false, modulation: false))
            #expect(firstDifference(frozen.dx.floats, found.dx.floats) == nil)
            #expect(frozen.dweight == nil && frozen.dscale == nil && frozen.dshift == nil)
        }
    }

    /// Where the families round: Llama x̂ before its weight, Gemma the normalised row before it is modulated.
    @Test(arguments: RMSNorm.Casting.allCases) func roundsWhereFamiliesDo(casting: RMSNorm.Casting) throws {
        var random = SeededGenerator(seed: 5)
        let x = try random.array([4, 33], .bf16), weight = try random.array([33], .f32)
        let scale = try random.array([4, 33], .f32), options = RMSNorm.Options(casting: casting)
        let y = try ModulatedRMSNorm.forward(x, weight: weight, scale: scale, shift: nil, options).y
        let factors = scale.floats.map { 1 + $0 }
        let rounded = { (value: Float) in (try? NDArray([value], [1], dtype: .bf16).floats[0]) ?? .nan }
        let rstd = try RMSNorm.forward(x, weight: nil, options).rstd.floats
        let expected = x.floats.enumerated().map { i, value in
            let normal = value * rstd[i / 33], w = weight.floats[i % 33]
            switch casting {
            case .llama: return rounded(rounded(normal) * w * factors[i])
            case .gemma: return rounded(rounded(normal * w) * factors[i])
            case .none: return rounded(normal * w * factors[i])
            }
        }
        #expect(firstDifference(y.floats, expected) == nil)
    }

    /// Gradients of the weight and of the scale have what was multiplied, as it was rounded.
    @Test(arguments: RMSNorm.Casting.allCases) func gradientsHaveWhatWasRounded(
        casting: RMSNorm.Casting
    ) throws {
        var random = SeededGenerator(seed: 6)
        let x = try random.array([1, 33], .bf16), dy = try random.array([1, 33], .bf16)
        let weight = try random.array([33]), scale = try random.array([1, 33])
        let options = RMSNorm.Options(casting: casting)
        let rstd = try ModulatedRMSNorm.forward(x, weight: weight, scale: scale, shift: nil, options).rstd
        let found = try ModulatedRMSNorm.backward(
            dy: dy, x: x, weight: weight, scale: scale, shift: nil, rstd: rstd, options)
        let rounded = { (value: Float) in (try? NDArray([value], [1], dtype: .bf16).floats[0]) ?? .nan }
        let (w, factors, g) = (weight.floats, scale.floats.map { $0 + 1 }, dy.floats)
        let normal = x.floats.map { value in
            let normal = value * rstd.floats[0]
            return casting == .llama ? rounded(normal) : normal
        }
        let dweight = w.indices.map { g[$0] * factors[$0] * normal[$0] }
        let dscale = w.indices.map { i in
            let n = normal[i] * w[i]
            return g[i] * (casting == .gemma ? rounded(n) : n)
        }
        #expect(try firstDifference(#require(found.dweight).floats, dweight) == nil)
        #expect(try firstDifference(#require(found.dscale).floats, dscale) == nil)
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([6, 3])
        for shape in [[4, 3], [2, 4], [0, 3], [6]] {
            #expect(throws: RuntimeError.self) {
                try ModulatedRMSNorm.forward(x, weight: nil, scale: .zeros(shape), shift: nil)
            }
        }
        #expect(throws: RuntimeError.self) {
            try ModulatedRMSNorm.forward(x, weight: nil, scale: .zeros([2, 3]), shift: .zeros([1, 3]))
        }
    }
}
