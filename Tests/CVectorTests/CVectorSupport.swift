import CVector

/// Every level of the instruction set that this machine has, so that each is tested on it.
let vectorLevels = Array(0...Int(cv_machine_level()))

/// Around the widths and unrolled widths of 4, 8, 16 and 64 lanes and the blocks of 256; none; one that is odd.
let vectorSizes = [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000, 1023, 2049]

/// Runs `body` with the functions of `level`.
func atLevel<Result>(_ level: Int, _ body: () throws -> Result) rethrows -> Result {
    cv_limit_level(Int32(level))
    defer { cv_limit_level(Int32.max) }
    return try body()
}

/// Zeros, subnormals, the smallest and largest normal numbers, infinities and NaN.
let specialFloats: [Float] = [
    0, -0.0, 1, -1, 0.5, -0.5, 1.5, -2.5, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
    Float(bitPattern: 0x007f_ffff), .leastNormalMagnitude, -.leastNormalMagnitude,
    .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .infinity, -.infinity, .nan, -.nan,
    0x1p31, -0x1p31, 0x1.fffffep30, 8_388_607.5, 65504, 65520, 0x1p-24, 0x1p-25, 0x1.8p-25,
]

/// Bit patterns of `values`.
func words(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// True when both are the same bits, or both are NaN.
func same(_ left: UInt32, _ right: UInt32) -> Bool {
    left == right || (Float(bitPattern: left).isNaN && Float(bitPattern: right).isNaN)
}

/// The distance of `got` from `exact` in units in the last place of a float of that size.
func unitsInLastPlace(_ got: Float, from exact: Double) -> Double {
    if exact.isNaN || got.isNaN { return exact.isNaN && got.isNaN ? 0 : .infinity }
    let nearest = Float(exact)
    if got == nearest { return 0 }
    if got.isInfinite || exact.isInfinite {
        // One finite, one not: only excusable right at the edge.
        let largest = Float.greatestFiniteMagnitude
        return got.magnitude >= largest && nearest.magnitude >= largest ? 1 : .infinity
    }
    return (Double(got) - exact).magnitude / Double(max(nearest.ulp, .leastNonzeroMagnitude))
}

func applyUnary(_ operation: Int, _ a: [UInt32]) -> [UInt32] {
    var d = a
    cv_get_unary(Int32(operation))(&d, a, Int64(a.count))
    return d
}

func applyUnary(_ operation: Int, _ a: [Float]) -> [Float] {
    applyUnary(operation, words(a)).map(Float.init(bitPattern:))
}
