import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct GatedTests {
    @Test(arguments: columnGrid, floatTypes)
    func swigluMatchesDouble(columns: Int, dtype: DType) throws {
        for rows in [1, 37] {
            let inputs = try Inputs(rows, columns, dtype)
            let y = try SwiGLU.forward(gate: inputs.gate, up: inputs.up)
            let (dgate, dup) = try SwiGLU.backward(dy: inputs.dy, gate: inputs.gate, up: inputs.up)
            inputs.check(
                y, dgate, dup, forward: SwiGLU.Reference.forward, backward: SwiGLU.Reference.backward)
        }
    }

    @Test(arguments: columnGrid, floatTypes)
    func gegluMatchesDouble(columns: Int, dtype: DType) throws {
        for (rows, kind) in [(1, GeGLU.Approximation.tanh), (37, .erf), (5, .tanh), (1, .erf)] {
            let inputs = try Inputs(rows, columns, dtype)
            let y = try GeGLU.forward(gate: inputs.gate, up: inputs.up, approximation: kind)
            let (dgate, dup) = try GeGLU.backward(
                dy: inputs.dy, gate: inputs.gate, up: inputs.up, approximation: kind)
            inputs.check(
                y, dgate, dup,
                forward: { GeGLU.Reference.forward(gate: $0, up: $1, kind) },
                backward: { GeGLU.Reference.backward(dy: $0, gate: $1, up: $2, kind) })
        }
    }

    /// Gates where exp overflows or underflows: the unit passes up through or is 0, and so its gradients.
    @Test func saturatedGates() throws {
        let gates: [Float] = [-30_000, -200, -90, -0.0, 0, 90, 200, 30_000]
        let gate = try NDArray(gates, [2, 4])
        let ones = try NDArray([Float](repeating: 1, count: 8), [2, 4])
        let passed: [Float] = [0, 0, 0, 0, 0, 90, 200, 30_000]
        let slopes: [Float] = [0, 0, 0, 0.5, 0.5, 1, 1, 1]
        for kind in [nil, GeGLU.Approximation.tanh, .erf] {
            let y =
                try kind.map { try GeGLU.forward(gate: gate, up: ones, approximation: $0) }
                ?? SwiGLU.forward(gate: gate, up: ones)
            let gradient =
                try kind.map {
                    try GeGLU.backward(dy: ones, gate: gate, up: ones, approximation: $0)
                } ?? SwiGLU.backward(dy: ones, gate: gate, up: ones)
            #expect(relativeError(y.doubles, passed.map(Double.init), scale: 1) < 1e-30)
            #expect(relativeError(gradient.dgate.doubles, slopes.map(Double.init)) < 1e-30)
            #expect(relativeError(gradient.dup.doubles, passed.map(Double.init), scale: 1) < 1e-30)
        }
    }

    /// In bfloat16 the activation is rounded before the product: the result has the bits of two roundings
    /// and not those of one.
    @Test func roundsTheActivationFirst() throws {
        let inputs = try Inputs(1, 1000, .bf16)
        let y = try SwiGLU.forward(gate: inputs.gate, up: inputs.up)
        func rounded(_ value: Double) -> Double {
            Double(Float(bitPattern: UInt32(NDArray.bfloat16(Float(value))) << 16))
        }
        let pairs = Array(zip(inputs.gate.doubles, inputs.up.doubles))
        let twice = pairs.map { rounded(rounded(SwiGLU.Reference.silu($0)) * $1) }
        let once = pairs.map { rounded(SwiGLU.Reference.silu($0) * $1) }
        #expect(y.doubles.elementsEqual(twice))
        #expect(zip(once, twice).count { $0 != $1 } > 100)
    }

    /// The gradients over gate and up have the bits of those beside them, and dy stays.
    @Test(arguments: columnGrid, floatTypes)
    func overwritesItsInputsWithTheSameBits(columns: Int, dtype: DType) throws {
        let multipliers = GatedMultipliers(gate: 0.5, down: 3)
        let besides: [(Inputs) throws -> (dgate: NDArray, dup: NDArray)] = [
            { try SwiGLU.backward(dy: $0.dy, gate: $0.gate, up: $0.up, multipliers: multipliers) },
            { try GeGLU.backward(dy: $0.dy, gate: $0.gate, up: $0.up) },
            { try GeGLU.backward(dy: $0.dy, gate: $0.gate, up: $0.up, approximation: .erf) },
        ]
        let overs: [(Inputs) throws -> Void] = [
            { try SwiGLU.backward(dy: $0.dy, overGate: $0.gate, up: $0.up, multipliers: multipliers) },
            { try GeGLU.backward(dy: $0.dy, overGate: $0.gate, up: $0.up) },
            { try GeGLU.backward(dy: $0.dy, overGate: $0.gate, up: $0.up, approximation: .erf) },
        ]
        for (beside, over) in zip(besides, overs) {
            let inputs = try Inputs(5, columns, dtype), dy = inputs.dy.doubles
            let (dgate, dup) = try beside(inputs)
            try over(inputs)
            #expect(inputs.gate.doubles == dgate.doubles && inputs.up.doubles == dup.doubles)
            #expect(inputs.dy.doubles == dy)
        }
    }

    @Test func refusesMisfits() throws {
        let a = try NDArray.zeros([2, 3]), b = try NDArray.zeros([3, 2])
        let half = try NDArray.zeros([2, 3], dtype: .bf16)
        #expect(throws: RuntimeError.self) { try SwiGLU.forward(gate: a, up: b) }
        #expect(throws: RuntimeError.self) { try SwiGLU.forward(gate: a, up: half) }
        #expect(throws: RuntimeError.self) { try GeGLU.backward(dy: b, gate: a, up: a) }
        #expect(throws: RuntimeError.self) { try GeGLU.backward(dy: b, overGate: a, up: a) }
    }
}

/// Random arrays of one size, and the comparison of what comes out of them.
private struct Inputs {
    let gate: NDArray, up: NDArray, dy: NDArray

    init(_ rows: Int, _ columns: Int, _ dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(columns))
        gate = try random.array([rows, columns], dtype, in: -4...4)
        up = try random.array([rows, columns], dtype)
        dy = try random.array([rows, columns], dtype)
    }

    func check(
        _ y: NDArray, _ dgate: NDArray, _ dup: NDArray, forward: (Double, Double) -> Double,
        backward: (Double, Double, Double) -> (dgate: Double, dup: Double)
    ) {
        let (gates, ups, dys) = (gate.doubles, up.doubles, dy.doubles)
        let all = gates.indices
        let gradient = all.map { backward(dys[$0], gates[$0], ups[$0]) }
        // Terms: y and dup are products of gate with up or dy; dgate is dy up times f', at most 1.2, whose
        // own terms stay below 1.2 too.
        let most = gates.map { Swift.abs($0) }.max() ?? 1
        let (up, dy) = (ups.map { Swift.abs($0) }.max() ?? 1, dys.map { Swift.abs($0) }.max() ?? 1)
        let once = bound(gate.dtype, terms: 4), twice = bound(gate.dtype, roundings: 2)
        #expect(relativeError(y.doubles, all.map { forward(gates[$0], ups[$0]) }, scale: most * up) < twice)
        #expect(relativeError(dgate.doubles, gradient.map(\.dgate), scale: 1.2 * up * dy) < once)
        #expect(relativeError(dup.doubles, gradient.map(\.dup), scale: most * dy) < twice)
    }
}
