import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct GroupNormTests {
    /// Places per channel around vectors and blocks; one channel per group, one group, and sizes between.
    @Test(arguments: [1, 2, 3, 15, 16, 17, 127, 128, 513], floatTypes)
    func matchesDouble(places: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(places))
        for (batch, channels, groups) in [(1, 1, 1), (2, 6, 1), (3, 6, 3), (5, 4, 4), (3, 32, 8)] {
            let shape = [batch, channels, places]
            let x = try random.array(shape, dtype), dy = try random.array(shape, dtype)
            let w = try random.array([channels], dtype, in: 0.5...2)
            let b = try random.array([channels], dtype)
            let (y, mean, rstd) = try GroupNorm.forward(x, weight: w, bias: b, groups: groups, eps: 1e-3)
            let reference = GroupNorm.Reference(
                channels: channels, places: places, groups: groups, eps: 1e-3)
            let expected = reference.forward(x.doubles, weight: w.doubles, bias: b.doubles)
            // A group of one element has x̂ = 0, and a rounding of its mean is divided by sqrt(eps).
            let r = reference.normalised(x.doubles).rstd
            let term = 2 * (r.max() ?? 0) + 4
            #expect(relativeError(y.doubles, expected, scale: term) < bound(dtype, terms: 4))
            #expect(relativeError(rstd.doubles, r) < bound(.f32, terms: 4))

            let found = try GroupNorm.backward(
                dy: dy, x: x, weight: w, mean: mean, rstd: rstd, groups: groups)
            let gradient = reference.backward(dy: dy.doubles, x: x.doubles, weight: w.doubles)
            let terms = batch * places
            #expect(relativeError(found.dx.doubles, gradient.dx, scale: 2 * term) < bound(dtype, terms: 4))
            #expect(
                relativeError(found.dw?.doubles ?? [], gradient.dw, scale: largest(gradient.dw, 2 * term))
                    < bound(dtype, terms: terms))
            #expect(
                relativeError(found.db?.doubles ?? [], gradient.db, scale: largest(gradient.db, 4))
                    < bound(dtype, terms: terms))
        }
    }

    /// A mean thousands of times the deviation costs no digits.
    @Test func keepsDigitsBesideALargeMean() throws {
        var random = SeededGenerator(seed: 3)
        let x = try NDArray(random.floats(2 * 4 * 50, in: 9999...10001), [2, 4, 50])
        let reference = GroupNorm.Reference(channels: 4, places: 50, groups: 2, eps: 1e-5)
        let (y, mean, rstd) = try GroupNorm.forward(x, weight: nil, bias: nil, groups: 2, eps: 1e-5)
        #expect(
            relativeError(y.doubles, reference.forward(x.doubles, weight: nil, bias: nil))
                < bound(.f32, terms: 4))
        let dy = try random.array([2, 4, 50])
        let found = try GroupNorm.backward(dy: dy, x: x, weight: nil, mean: mean, rstd: rstd, groups: 2)
        let gradient = reference.backward(dy: dy.doubles, x: x.doubles, weight: nil)
        #expect(relativeError(found.dx.doubles, gradient.dx, scale: 8) < bound(.f32, terms: 4))
        #expect(relativeError(found.db?.doubles ?? [], gradient.db) < bound(.f32, terms: 16))
        #expect(found.dw == nil)
    }

    @Test func takesImagesAndVectors() throws {
        var random = SeededGenerator(seed: 4)
        let image = try random.array([2, 4, 3, 5]), vectors = image.reshaped([10, 12])
        let (y, _, _) = try GroupNorm.forward(image, weight: nil, bias: nil, groups: 2, eps: 1e-5)
        let flat = try GroupNorm.forward(
            image.reshaped([2, 4, 15]), weight: nil, bias: nil, groups: 2, eps: 1e-5)
        #expect(y.shape == image.shape && y.floats == flat.y.floats)
        let reference = GroupNorm.Reference(channels: 12, places: 1, groups: 3, eps: 1e-5)
        let found = try GroupNorm.forward(vectors, weight: nil, bias: nil, groups: 3, eps: 1e-5)
        let expected = reference.forward(vectors.doubles, weight: nil, bias: nil)
        #expect(relativeError(found.y.doubles, expected) < bound(.f32, terms: 4))
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 6, 3]), w = try NDArray.zeros([3])
        for groups in [0, 4, -2] {
            #expect(throws: RuntimeError.self) {
                try GroupNorm.forward(x, weight: nil, bias: nil, groups: groups, eps: 1e-5)
            }
        }
        #expect(throws: RuntimeError.self) {
            try GroupNorm.forward(x, weight: w, bias: nil, groups: 3, eps: 1e-5)
        }
        #expect(throws: RuntimeError.self) {
            try GroupNorm.forward(w, weight: nil, bias: nil, groups: 1, eps: 1e-5)
        }
    }
}
