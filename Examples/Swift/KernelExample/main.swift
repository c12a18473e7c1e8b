// A kernel from outside the package: written, launched, and compared with its formula in Double.

import Foundation
import LigerRuntime
import Tile

/// y = a x + y, one program a row.
struct ScaledAdd: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.update("y", .f32, rank: 2)
        let a = p.scalar("a")
        let row = p.index, c = p.range(columns)
        y[row, c] = a * x[row, c] + y[row, c]
    }
}

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

/// y = log(sum(exp(x / temperature))): one number a row, and no overflow, as the largest is taken out.
struct LogSumExp: TileKernel {
    let columns: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1)
        let temperature = p.scalar("temperature")
        let v = x[p.index, p.range(columns)] / temperature
        let top = max(v)
        y[p.index] = top + log(sum(exp(v - top)))
    }
}

/// The largest distance, relative to the largest expected value; NaN if any value is.
func error(_ found: [Double], _ expected: [Double]) -> Double {
    let distances = zip(found, expected).map { abs($0 - $1) }
    if distances.contains(where: \.isNaN) { return .nan }
    return (distances.max() ?? 0) / (expected.map(abs).max() ?? 1)
}

func checkScaledAdd(on device: Device) throws {
    let (rows, columns) = (37, 129)
    let values = (0..<rows * columns).map { Float(($0 * 37) % 101) / 50 - 1 }
    let x = try NDArray(values, [rows, columns], device: device)
    let y = try NDArray(values.reversed(), [rows, columns], device: device)
    let expected = zip(values, values.reversed()).map { 0.5 * Double($0) + Double($1) }

    try ScaledAdd(columns: columns)
        .launch(programs: rows, ["x": x, "y": y], scalars: ["a": .float(0.5)])
    report("ScaledAdd", error(try y.hostValues(), expected), bound: 1e-6)
}

func checkNormalise(on device: Device) throws {
    for dtype in [DType.f32, .bf16, .f16] {
        for columns in [1, 2, 3, 127, 128, 129] {
            let values = (0..<3 * columns).map { Float(($0 * 53) % 97) / 40 - 1.2 }
            let x = try NDArray(values, [3, columns], dtype: dtype, device: device)
            let y = try NDArray(empty: [3, columns], dtype: dtype, device: device)
            try Normalise(columns: columns, dtype: dtype).launch(programs: 3, ["x": x, "y": y])

            let stored = try x.hostValues()
            let expected = stride(from: 0, to: stored.count, by: columns).flatMap { start -> [Double] in
                let row = stored[start..<start + columns]
                let meanSquare = row.reduce(0) { $0 + $1 * $1 } / Double(columns)
                return row.map { $0 / (meanSquare + 1e-6).squareRoot() }
            }
            // One rounding when the result is stored, and some in fp32 before it.
            let bound = (dtype.epsilon ?? 0) / 2 + 1e-6
            report("Normalise \(dtype) \(columns)", error(try y.hostValues(), expected), bound: bound)
        }
    }
}

func checkLogSumExp(on device: Device) throws {
    for columns in [1, 2, 3, 127, 128, 129] {
        let values = (0..<5 * columns).map { Float(($0 * 61) % 89) * 4 - 170 }
        let x = try NDArray(values, [5, columns], device: device)
        let y = try NDArray(empty: [5], dtype: .f32, device: device)
        try LogSumExp(columns: columns)
            .launch(programs: 5, ["x": x, "y": y], scalars: ["temperature": .float(0.5)])

        let expected = stride(from: 0, to: values.count, by: columns).map { start -> Double in
            let row = values[start..<start + columns].map { Double($0) / 0.5 }
            let top = row.max() ?? 0
            return top + log(row.reduce(0) { $0 + exp($1 - top) })
        }
        report("LogSumExp \(columns)", error(try y.hostValues(), expected), bound: 1e-6)
    }
}

/// A mistake: rows of x have one column more than rows of y.
struct Mistaken: TileKernel {
    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2)
        let sum = x[p.index, p.range(5)] + x[p.index, p.range(4)]
        y[p.index, p.range(4)] = sum
    }
}

func showMistakes() throws {
    let x = try NDArray.zeros([2, 5]), y = try NDArray.zeros([2, 4])
    do {
        try Mistaken().launch(programs: 2, ["x": x, "y": y])
        fatalError("a mistake was not found")
    } catch let error as TileError {
        print(error)
    }
}

func report(_ name: String, _ error: Double, bound: Double) {
    // Not so for NaN either.
    guard error <= bound else { fatalError("\(name): the error is \(error), the bound \(bound)") }
    print("\(name): largest relative error \(error), bound \(bound)")
}

// The CPU, and every NVIDIA GPU that is found: the kernels above are the same source for both.
for device in Device.available {
    print("on \(device)")
    try checkScaledAdd(on: device)
    try checkNormalise(on: device)
    try checkLogSumExp(on: device)
}
try showMistakes()
