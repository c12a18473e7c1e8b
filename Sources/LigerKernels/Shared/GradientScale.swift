package import LigerRuntime
package import Tile

/// What gradients that are stored in f16 have to be multiplied by, found on the device.
///
/// A gradient made together with its loss is for an upstream gradient of 1. f16 has nothing below 6e-8, and most of a
/// mean over thousands of tokens is: what a loss scale would have saved is 0 before that scale is known. At the other
/// end, 65,520 is infinite. So f16 gradients are divided by a power of two before they are rounded. It puts the largest
/// magnitude between 2^14 and 2^15, and leaves the whole range of f16 below. Whoever knows the upstream gradient
/// multiplies by both in fp32 and rounds again, which changes nothing where a loss scale is a power of two.
///
/// bf16 has the exponents of fp32 and needs none of this.
///
/// A row has a scale of its own (`overRowScale`); this is the one of a sum over rows, which grows.
package final class GradientScale {
    /// [1], f32; a power of two.
    package let value: NDArray
    private let changes: NDArray
    private var isSet = false
    private var hasChanged = false

    /// A scale that has to be raised before it is used; until then it is 0.
    package init(on device: Device) throws {
        value = try NDArray.zeros([1], device: device)
        changes = try NDArray(empty: [1], device: device)
    }

    /// A scale that was raised before, for what has been summed since; 0 where nothing has.
    package init(continuing value: NDArray) throws {
        self.value = value
        changes = try NDArray(empty: [1], device: value.device)
        isSet = true
    }

    /// Bytes of one.
    package static let byteCount = 8

    /// Raises the scale to what some magnitudes need; it never falls.
    ///
    /// - Parameter magnitudes: f32, of rank 1, of any sign. Those that are not finite do not count: they will be seen
    ///   anyway.
    package func raise(toHold magnitudes: NDArray) throws {
        try RaiseScale(isFirst: !isSet).launch(
            programs: 1, ["magnitudes": magnitudes, "scale": value, "change": changes])
        hasChanged = isSet
        isSet = true
    }

    /// [1], f32: the scale before it was last raised over the scale now, for what has been summed meanwhile. Nil where
    /// nothing can have been.
    package func takeChange() -> NDArray? {
        defer { hasChanged = false }
        return hasChanged ? changes : nil
    }
}

/// The largest of some magnitudes sets the scale; one program.
struct RaiseScale: TileKernel {
    let isFirst: Bool

    func body(_ p: Program) {
        let magnitudes = p.input("magnitudes", .f32, rank: 1)
        let scale = isFirst ? p.output("scale", .f32, rank: 1) : p.update("scale", .f32, rank: 1)
        let change = p.output("change", .f32, rank: 1)
        let needed = gradientScale(holding: largestMagnitude(of: magnitudes, p), p)
        let before = isFirst ? needed : scale[0]
        let now = maximum(needed, before)
        change[0] = before / now
        scale[0] = now
    }
}

/// The largest finite |x| of a whole view of rank 1, block by block.
private func largestMagnitude(of x: View<Float>, _ p: Program) -> Tile<Float> {
    let block = 4096, zero = p.index * 0
    return p.loop(from: zero, to: x.size(0), step: zero + block, carrying: zero.float) { start, most in
        let size = abs(x[p.range(from: start, capacity: block, limit: x.size(0))])
        return maximum(most, max(select(size < .infinity, size, 0)))
    }
}

/// A row over its scale, which is kept with it: rounded to f16, it is as good as if what it will be multiplied by had
/// been there from the start.
package func overRowScale(_ x: Tile<Float>, _ scales: View<Float>, _ p: Program) -> Tile<Float> {
    let scale = gradientScale(holding: max(abs(x)), p)
    scales[p.index] = scale
    return x * (1 / scale)
}

/// The scale of f16 numbers up to a magnitude: a power of two, from 2^-78 to 2^49, that leaves the largest between 2^14
/// and 2^15; the least one for NaN.
package func gradientScale(holding largest: Tile<Float>, _ p: Program) -> Tile<Float> {
    // The exponent's binary digits, the highest first: exact, as an exponential is not.
    var rest = minimum(largest, 0x1p63) * 0x1p64, scale = (p.index * 0).float + 0x1p-78
    for digit in [64, 32, 16, 8, 4, 2, 1] {
        let power = Float(sign: .plus, exponent: digit, significand: 1), has = rest >= power
        rest = select(has, rest * (1 / power), rest)
        scale = select(has, scale * power, scale)
    }
    return scale
}
