import Tile

// Functions that no instruction computes well enough, from instructions that do. The polynomials are those
// of the CPU's vector loops (CVector/Math.c), which say how they were derived.
extension ThreadBuilder {
    /// e^x = 2^n 2^f with n + f = x log2(e), n whole: the product in two parts, so that a large x keeps its
    /// digits. n is kept where 2^n is a number, or 0; beyond, f takes the rest to 0 or infinity.
    ///
    /// n stands in the low bits of its sum with 3 2^22: shifted to where a number has its exponent, it is 2^n.
    mutating func exp(_ x: Source) -> Register {
        let sum = f32(.multiplyAdd, x, .float(0x1.715476p0), .float(0x1.8p23))
        let atMost = f32(.minimum, .register(sum), .float(0x1.8p23 + 127))
        let shifted = f32(.maximum, .register(atMost), .float(0x1.8p23 - 127))
        let n = f32(.subtract, .register(shifted), .float(0x1.8p23))
        let high = f32(
            .multiplyAdd, x, .float(0x1.715476p0), .register(f32(.negate, .register(n))))
        let fraction = f32(.multiplyAdd, x, .float(0x1.4ae0cp-26), .register(high))
        let exponent = b32(.shiftLeft, .u32, .register(make(.b32, .move, [.register(shifted)])), .integer(23))
        let scale = b32(.add, .u32, .register(exponent), .bits(0x3F80_0000))
        let power = f32(.exp2, .register(fraction))
        return f32(.multiply, .register(power), .register(make(.f32, .move, [.register(scale)])))
    }

    /// e^x for x <= 0, to within 2 + |x| units in the last place: the product with log2(e) is rounded.
    mutating func decay(_ x: Source) -> Register {
        f32(.exp2, .register(f32(.multiply, x, .float(0x1.715476p0))))
    }

    /// log(x) = k ln 2 + log(1 + f), 1 + f = x / 2^k in [sqrt(1/2), sqrt(2)]; a polynomial of f. The
    /// instruction for log2 loses digits near 1; it serves what is no positive normal number: it knows -inf, NaN
    /// and infinity, and far from 1 its error is small.
    mutating func log(_ x: Source) -> Register {
        let bits = make(.b32, .move, [x])
        let above = b32(.subtract, .u32, .register(bits), .bits(0x3F35_04F3))
        let k = b32(.shiftRight, .s32, .register(above), .integer(23))
        let exponent = b32(.shiftLeft, .u32, .register(k), .integer(23))
        let mantissa = make(
            .f32, .move, [.register(b32(.subtract, .u32, .register(bits), .register(exponent)))])
        let f = f32(.subtract, .register(mantissa), .float(1))
        // As a float, through one whose low bits are k: quicker than the instruction that converts.
        let shifted = b32(.add, .u32, .register(k), .bits(0x4B40_0000))
        let whole = f32(.subtract, .register(make(.f32, .move, [.register(shifted)])), .float(0x1.8p23))
        let p = polynomial(
            f,
            [
                -0x1.38b582p-4, 0x1.055b6cp-3, -0x1.0d8542p-3, 0x1.22da1cp-3, -0x1.547244p-3, 0x1.99a008p-3,
                -0x1.000226p-2, 0x1.555554p-2,
            ])
        let square = f32(.multiply, .register(f), .register(f))
        let bend = f32(.multiplyAdd, .register(p), .register(f), .float(-0.5))
        let tail = f32(.multiply, .register(whole), .float(0x1.7f7d1cp-20))
        let low = f32(.multiplyAdd, .register(square), .register(bend), .register(tail))
        let near = f32(.add, .register(f), .register(low))
        let result = f32(.multiplyAdd, .register(whole), .float(0x1.62e4p-1), .register(near))
        let aboveLeast = b32(.subtract, .u32, .register(bits), .bits(0x0080_0000))
        let isNormal = compare(.less, .u32, .register(aboveLeast), .bits(0x7F00_0000))
        let other = f32(.multiply, .register(f32(.log2, x)), .float(0x1.62e43p-1))
        return select(.f32, isNormal, .register(result), .register(other))
    }

    /// 1 / (1 + exp(-x)).
    mutating func sigmoid(_ x: Source) -> Register {
        let e = exp(.register(f32(.negate, x)))
        return f32(.reciprocal, .register(f32(.add, .register(e), .float(1))))
    }

    /// |x| < 0.625: x + x^3 P(x^2); above: 1 - 2 e / (1 + e) with e = exp(-2 |x|).
    mutating func tanh(_ x: Source) -> Register {
        let a = f32(.abs, x)
        let square = f32(.multiply, x, x)
        let p = polynomial(
            square,
            [
                0x1.16b058p-9, -0x1.0b5f50p-7, 0x1.636de4p-6, -0x1.b9ebf4p-5, 0x1.11105ap-3, -0x1.555554p-2,
            ])
        let bend = f32(.multiply, .register(a), .register(f32(.multiply, .register(square), .register(p))))
        let near = f32(.add, .register(a), .register(bend))
        let e = exp(.register(f32(.multiply, .register(a), .float(-2))))
        let r = f32(.reciprocal, .register(f32(.add, .register(e), .float(1))))
        let twice = f32(.multiply, .register(e), .float(-2))
        let far = f32(.multiplyAdd, .register(twice), .register(r), .float(1))
        let isNear = compare(.less, .f32, .register(a), .float(0.625))
        return f32(.copySign, .register(select(.f32, isNear, .register(near), .register(far))), x)
    }

    /// |x| < 0.9375: x + x Q(x^2); above: 1 - exp(-P(|x|)), from 4 on 1.
    mutating func erf(_ x: Source) -> Register {
        let a = f32(.abs, x)
        let square = f32(.multiply, x, x)
        let q = polynomial(
            square,
            [
                0x1.574eeap-14, -0x1.a88d96p-11, 0x1.549666p-8, -0x1.b80962p-6, 0x1.ce2dcap-4,
                -0x1.812742p-2, 0x1.06eba8p-3,
            ])
        let near = f32(.multiplyAdd, .register(a), .register(q), .register(a))
        let t = f32(.minimum, .register(a), .float(4))
        let p = polynomial(
            t,
            [
                0x1.65ef2cp-16, -0x1.ca7a40p-12, 0x1.123d1ap-8, -0x1.9c23f8p-6, 0x1.bbbde6p-4,
                0x1.443f6ep-1, 0x1.212988p0, -0x1.7954c2p-13,
            ])
        let e = exp(.register(f32(.negate, .register(p))))
        let far = f32(.subtract, .float(1), .register(e))
        let isNear = compare(.less, .f32, .register(a), .float(0.9375))
        let limited = select(.f32, isNear, .register(near), .register(far))
        let isNumber = compare(.equal, .f32, x, x)
        return select(.f32, isNumber, .register(f32(.copySign, .register(limited), x)), x)
    }

    /// x = n pi/2 + r with pi/2 in three parts; a polynomial of r, the quadrant n mod 4 (plus `ahead`)
    /// picking which. Three ulp for |x| up to 65,536.
    mutating func sine(_ x: Source, ahead: Int) -> Register {
        let shifted = f32(.multiplyAdd, x, .float(0x1.45f306p-1), .float(0x1.8p23))
        let n = f32(.subtract, .register(shifted), .float(0x1.8p23))
        let minusN = f32(.negate, .register(n))
        var r = f32(.multiplyAdd, .register(minusN), .float(0x1.921fb0p0), x)
        r = f32(.multiplyAdd, .register(minusN), .float(0x1.5110b4p-22), .register(r))
        r = f32(.multiplyAdd, .register(minusN), .float(0x1.846988p-48), .register(r))
        let square = f32(.multiply, .register(r), .register(r))
        let s = polynomial(square, [0x1.6ccf5ep-19, -0x1.a00f74p-13, 0x1.111108p-7, -0x1.555556p-3])
        let bend = f32(.multiply, .register(square), .register(s))
        let sine = f32(.multiplyAdd, .register(r), .register(bend), .register(r))
        let c = polynomial(square, [-0x1.241caap-22, 0x1.a010d6p-16, -0x1.6c16b8p-10, 0x1.555556p-5])
        let fourth = f32(.multiply, .register(square), .register(square))
        let most = f32(.multiplyAdd, .register(square), .float(-0.5), .float(1))
        let cosine = f32(.multiplyAdd, .register(fourth), .register(c), .register(most))
        let whole = make(.b32, .convert(from: .f32, to: .s32), [.register(n)])
        let quadrant = b32(.add, .s32, .register(whole), .integer(ahead))
        let odd = b32(.and, .u32, .register(quadrant), .integer(1))
        let usesCosine = compare(.notEqual, .s32, .register(odd), .integer(0))
        let chosen = select(.f32, usesCosine, .register(cosine), .register(sine))
        let half = b32(.and, .u32, .register(quadrant), .integer(2))
        let flips = compare(.notEqual, .s32, .register(half), .integer(0))
        return select(.f32, flips, .register(f32(.negate, .register(chosen))), .register(chosen))
    }
}
