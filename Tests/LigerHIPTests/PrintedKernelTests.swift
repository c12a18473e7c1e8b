import FakeHIP
import Foundation
import LigerCatalogue
import LigerRuntime
import TestSupport
import Testing
import Tile

/// What is printed for AMD GPUs, compiled for this machine and run: text that only compiles may compute anything.
@Suite(
    .onFakeGPU,
    .enabled(
        if: PerformedLaunches.compilesPrinted || ProcessInfo.processInfo.environment["CI"] == "true",
        "not checked: no clang"))
struct PrintedKernelTests {
    /// Reductions within rows of 16, waves of 32 and 64 and blocks of several; pairs of 16-bit numbers, and halves of them;
    /// loops over long rows, and what is read only where a row goes on.
    @Test(arguments: [
        ("RMSNorm", DType.bf16), ("Softmax", .f32), ("CrossEntropy", .f16), ("Softmax", .bf16),
        ("LayerNorm", .f16),
    ])
    func verifies(operation: String, dtype: DType) throws {
        let entry = try #require(Catalogue.entry(operation))
        for (name, waves) in [("gfx942", 64), ("gfx1100", 32)] as [(StaticString, Int32)] {
            let device = try makeFakeAMD(architecture: name, waveThreads: waves)
            for columns in [33, 520, 4096] {
                let point = CheckCase(rows: 3, columns: columns, dtype: dtype, seed: 7, device: device)
                for result in try PerformedLaunches.with(.printed(name), { try entry.check(point) }) {
                    #expect(
                        result.passes,
                        "\(result.quantity), \(columns) columns on \(name): \(result.error), bound \(result.bound)"
                    )
                }
            }
        }
    }

    private struct Edges: TileKernel {
        let lanes: Int
        let dtype: DType

        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 1), n = p.input("n", .i32, rank: 1, as: Int32.self)
            let y = p.output("y", .f32, rank: 2), m = p.output("m", .i32, rank: 2, as: Int32.self)
            let stored = p.output("stored", dtype, rank: 1), c = p.range(lanes), v = x[c], k = n[c]
            let floats: [Tile<Float>] = [
                sqrt(v), rsqrt(v), log(v), floor(v), abs(v), maximum(v, 0.5), minimum(v, v * -1),
                v.rounded(to: .bf16), v.rounded(to: .f16), select(v == v, 1, v * 0 + 2),
                select(v != v, 3, v * 0 + 4),
                k.float,
            ]
            for (row, value) in floats.enumerated() { y[row, c] = value }
            let bits = k.uint32
            let whole = [bits >> 3, bits << 5, bits & 255, ~bits].map(\.int32) + [k * 3 - 1]
            for (row, value) in whole.enumerated() { m[row, c] = value }
            stored[c] = v
        }
    }

    /// Functions at their ends, below the normal numbers and at ties; whole numbers of both signs; every stored type.
    @Test(arguments: [DType.bf16, .f16, .e4m3, .e5m2]) func edgesAreThoseOfTheProcessor(dtype: DType) throws {
        var values: [Float] = [
            0, -0, .infinity, -.infinity, .nan, 1, -1, 2, 3, 0x1p-133, 0x1.8p-139, .leastNonzeroMagnitude,
            .leastNormalMagnitude,
            0x1.b4p-127, 0x1p-96, 1e-30, 1e30, .greatestFiniteMagnitude, 1.00390625, 1.01171875, 65_519,
            65_520, 6e-8,
            448, 464, 465, 480, 57_344, 61_439, 61_440, 1.0625, 1.1875, 1.125, 1.375, 0.0009765625,
            0.0029296875, 1.5e-5,
        ]
        var random = SeededGenerator(seed: 5)
        while values.count < 96 { values.append(Float.random(in: -600...600, using: &random)) }
        let numbers = (0..<values.count).map { $0 % 2 == 0 ? 1_000_003 * $0 : -999_983 * $0 }
        func run(on device: Device) throws -> (y: [Float], m: [Float], stored: [Float]) {
            let y = try NDArray(empty: [12, values.count], device: device)
            let m = try NDArray(empty: [5, values.count], dtype: .i32, device: device)
            let stored = try NDArray(empty: [values.count], dtype: dtype, device: device)
            try Edges(lanes: values.count, dtype: dtype).launch(
                programs: 1,
                [
                    "x": NDArray(values, device: device),
                    "n": NDArray(integers: numbers, dtype: .i32, device: device), "y": y, "m": m,
                    "stored": stored,
                ])
            return try (y.floats, m.moved(to: .cpu).hostValues().map { Float($0) }, stored.floats)
        }
        let expected = try run(on: .cpu)
        for (name, waves) in [("gfx942", 64), ("gfx1100", 32)] as [(StaticString, Int32)] {
            let device = try makeFakeAMD(architecture: name, waveThreads: waves)
            let found = try PerformedLaunches.with(.printed(name)) { try run(on: device) }
            #expect(found.m == expected.m)
            for (place, (a, b)) in zip(found.y, expected.y).enumerated() {
                // The reciprocal root and the logarithm are those of instructions, a few units off.
                let units: Float = [1, 2].contains(place / values.count) ? 4 : 0
                let isSame = a == b || (a.isNaN && b.isNaN) || (a - b).magnitude <= units * b.ulp
                #expect(
                    isSame,
                    "row \(place / values.count) of \(values[place % values.count]) on \(name): \(a), \(b)")
            }
            for (place, (a, b)) in zip(found.stored, expected.stored).enumerated() {
                #expect(a == b || (a.isNaN && b.isNaN), "\(dtype) of \(values[place]) on \(name): \(a), \(b)")
            }
        }
    }
}
