import Foundation
import LigerRuntime
import Testing
import Tile
import TileEmulator
import TileGPU

/// What a GPU computes of functions that no instruction knows, compared with Double: over all of their range, at its ends and
/// beyond them.
@Suite struct FunctionTests {
    enum Function: String, CaseIterable, Sendable { case exp, decay, log, sigmoid, tanh }

    @Test(arguments: Function.allCases) func isExactToAFewUnits(function: Function) throws {
        let extremes: [Float] = [
            0, -0, .infinity, -.infinity, .nan, 1e30, -1e30, 88.7, 88.73, -87.3, -87.4, -104, 127 * 0.6931472,
            1e-30,
            .leastNonzeroMagnitude * 71_000, 1, -1,
        ]
        let spread = (-2000...2000).map { Float($0) * 0.0437 }
        let near = (-500...500).map { 1 + Float($0) / 1000 }
        let x = extremes + spread + near
        for (input, found) in zip(x, try run(function, x)) {
            let exact = value(function, Double(input)), rounded = Float(exact)
            if rounded.isNaN || rounded.isInfinite {
                #expect(
                    found == rounded || (found.isNaN && rounded.isNaN), "\(function) of \(input): \(found)")
                continue
            }
            let distance = (Double(found) - exact).magnitude
            // Below the normal numbers a GPU may have 0.
            let allowed =
                rounded.magnitude < .leastNormalMagnitude
                ? Double(Float.leastNormalMagnitude) : bound(function, input) * Double(rounded.ulp)
            #expect(distance <= allowed, "\(function) of \(input): \(found), off by \(distance)")
        }
    }

    /// As the instructions behind them have it, so that what the emulator passes is what a GPU does.
    @Test(arguments: [Function.decay, .sigmoid]) func isNothingBelowNormalNumbers(function: Function) throws {
        #expect(try run(function, [-87.9, -90]) == [0, 0])
    }

    /// Units in the last place; tanh's and sigmoid's reciprocal and sum add theirs.
    private func bound(_ function: Function, _ x: Float) -> Double {
        switch function {
        case .exp, .log: 2
        case .decay: 2 + Double(x.magnitude)
        case .sigmoid, .tanh: 4
        }
    }

    private func value(_ function: Function, _ x: Double) -> Double {
        switch function {
        case .exp, .decay: Foundation.exp(x)
        case .log: Foundation.log(x)
        case .sigmoid: 1 / (1 + Foundation.exp(-x))
        case .tanh: Foundation.tanh(x)
        }
    }

    private func run(_ function: Function, _ values: [Float]) throws -> [Float] {
        let x = try NDArray(values), y = try NDArray(empty: [values.count])
        let traced = try TileFunction.trace(FunctionKernel(function: function, lanes: values.count))
        let layout = GPULayout(hasUnitStride: true, isAligned: true, hasWholeVectors: false)
        _ = try Emulator.run(
            try ThreadFunction(traced, layouts: [layout, layout]), programs: 1,
            arrays: [x, y].map {
                EmulatedArray(base: $0.address, shape: $0.shape, strides: $0.strides, dtype: $0.dtype)
            }, scalars: [])
        return y.floats
    }
}

private struct FunctionKernel: TileKernel {
    let function: FunctionTests.Function
    let lanes: Int

    func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1), c = p.range(lanes)
        y[c] =
            switch function {
            case .exp: exp(x[c])
            case .decay: decay(x[c])
            case .log: log(x[c])
            case .sigmoid: sigmoid(x[c])
            case .tanh: tanh(x[c])
            }
    }
}
