// A kernel from outside the package: written, launched, and compared with its formula in Double.

import Foundation
import LigerRuntime
import Tile

/// y = x / sqrt(mean(x^2) + eps): a reduction over the row, then a second pass over it.
struct Normalise: TileKernel {
    let columns: Int
    let dtype: DType

    func body(_ p: Program) {
        let x = p.input("x", dtype, rank: 2), y = p.output("y", dtype, rank: 2)
        let row = p.index, c = p.range(columns)
        let v = x[row, c]
        y[row, c] = v * rsqrt(mean(v * v) + 1e-6)
    }
}

/// The formula once more, in Double and as plain as can be.
func normalised(_ values: [Double], columns: Int) -> [Double] {
    stride(from: 0, to: values.count, by: columns).flatMap { start -> [Double] in
        let row = values[start..<start + columns]
        let meanSquare = row.reduce(0) { $0 + $1 * $1 } / Double(columns)
        return row.map { $0 / (meanSquare + 1e-6).squareRoot() }
    }
}

/// The largest distance, relative to the largest expected value; NaN if any value is.
func error(_ found: [Double], _ expected: [Double]) -> Double {
    let distances = zip(found, expected).map { abs($0 - $1) }
    if distances.contains(where: \.isNaN) { return .nan }
    return (distances.max() ?? 0) / (expected.map(abs).max() ?? 1)
}

func check(_ columns: Int, _ dtype: DType, on device: Device) throws {
    let values = (0..<3 * columns).map { Float(($0 * 53) % 97) / 40 - 1.2 }
    let x = try NDArray(values, [3, columns], dtype: dtype, device: device)
    let y = try NDArray(empty: [3, columns], dtype: dtype, device: device)
    try Normalise(columns: columns, dtype: dtype).launch(programs: 3, ["x": x, "y": y])

    // What was stored is the input: values as they were rounded.
    let worst = error(try y.hostValues(), normalised(try x.hostValues(), columns: columns))
    // One rounding when the result is stored, and some in fp32 before it.
    let bound = (dtype.epsilon ?? 0) / 2 + 1e-6
    // Not so for NaN either.
    guard worst <= bound else {
        print("\(dtype) \(columns): the error is \(worst), the bound \(bound)")
        exit(1)
    }
    print("\(dtype) \(columns): largest relative error \(worst), bound \(bound)")
}

// The CPU, and every GPU that is found: the kernel is the same source for all.
for device in Device.available {
    print("on \(device)")
    for dtype in [DType.f32, .bf16, .f16] {
        for columns in [1, 2, 3, 127, 128, 129] { try check(columns, dtype, on: device) }
    }
}
