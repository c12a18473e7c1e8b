import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct AdamWTests {
    /// Around a block's 4096 lanes.
    static let sizes = [1, 17, 4095, 4096, 4097, 9001]

    @Test(arguments: sizes, floatTypes)
    func matchesDouble(size: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(size))
        for decays in [false, true] {
            let options = AdamW.Options(lr: 0.02, beta1: 0.8, beta2: 0.95, eps: 1e-4, weightDecay: 0.3)
            let parameter = try random.array([size], dtype)
            let master = dtype == .f32 ? nil : try NDArray(parameter.floats)
            let slot = AdamW.Slot(
                parameter: parameter, gradient: try NDArray(empty: [size], dtype: dtype),
                m: try NDArray.zeros([size]), v: try NDArray.zeros([size]), master: master,
                weightDecay: decays)
            var expected = AdamW.Reference(parameter.doubles)
            for step in 1...5 {
                let gradient = try random.array([size], dtype)
                try gradient.copyBytes(to: slot.gradient)
                try AdamW.step([slot], options, step: step)
                expected.step(gradient.doubles, options, step: step, decays: decays)
            }
            #expect(relativeError(slot.m.doubles, expected.m, scale: 2) < bound(.f32))
            #expect(relativeError(slot.v.doubles, expected.v, scale: 4) < bound(.f32))
            let w = (master ?? parameter).doubles
            #expect(relativeError(w, expected.w, scale: 2) < bound(.f32))
            // One rounding of the master.
            let rounded = try NDArray(w.map { Float($0) }, dtype: dtype)
            #expect(firstDifference(parameter.floats, rounded.floats) == nil)
        }
    }

    /// Parts that begin at whole blocks are updated as the whole is, bit for bit: where random words are shared by two
    /// elements (whole blocks) and where not, with 8-bit states and weights rounded at random.
    @Test(
        arguments: [(40_960, .u8), (40_192, .u8), (40_960, .f32), (40_001, DType.f32)], [DType.f32, .bf16])
    func partsHaveTheBitsOfTheWhole(whole: (size: Int, moments: DType), dtype: DType) throws {
        let (size, moments) = whole
        var random = SeededGenerator(seed: UInt64(size))
        let gradients = try (0..<3).map { _ in try random.array([size], .f32) }
        let start = try random.array([size], dtype)
        func run(_ cuts: [Int]) throws -> [[Float]] {
            let zeros = { try NDArray.zeros([size / AdamW.block]) }
            let scales: (m: NDArray, v: NDArray)? = moments == .u8 ? (try zeros(), try zeros()) : nil
            let whole = AdamW.Slot(
                parameter: try NDArray(start.floats, dtype: dtype), gradient: gradients[0],
                m: try NDArray.zeros([size], dtype: moments), v: try NDArray.zeros([size], dtype: moments),
                scales: scales, number: 7)
            for (step, gradient) in gradients.enumerated() {
                let slots = zip(cuts, cuts.dropFirst()).map { Self.part(whole, gradient, $0..<$1) }
                try AdamW.step(slots, .init(lr: 0.02), step: step + 1, rounding: .stochastic, seed: 3)
            }
            return [whole.parameter.floats, whole.m.floats, whole.v.floats, whole.scales?.m.floats ?? []]
        }
        #expect(try run([0, size]) == run([0, 16_384, 32_768, size]))
    }

    private static func part(_ whole: AdamW.Slot, _ gradient: NDArray, _ range: Range<Int>) -> AdamW.Slot {
        func elements(_ array: NDArray) -> NDArray { array.sliced(0, range) }
        var slot = AdamW.Slot(
            parameter: elements(whole.parameter), gradient: elements(gradient), m: elements(whole.m),
            v: elements(whole.v),
            scales: whole.scales.map { scales in
                let blocks = range.lowerBound / AdamW.block..<range.upperBound / AdamW.block
                return (scales.m.sliced(0, blocks), scales.v.sliced(0, blocks))
            }, number: whole.number)
        (slot.offset, slot.whole) = (range.lowerBound, whole.parameter.count)
        return slot
    }

    @Test func updatesManyTensorsAndNoOthers() throws {
        func slot(_ shape: [Int], _ dtype: DType) throws -> AdamW.Slot {
            let ones = [Float](repeating: 1, count: shape.reduce(1, *))
            return AdamW.Slot(
                parameter: try NDArray(ones, shape, dtype: dtype), gradient: try NDArray(ones, shape),
                m: try NDArray.zeros(shape), v: try NDArray.zeros(shape))
        }
        let slots = try [slot([3, 5], .f32), slot([], .bf16), slot([0, 4], .f32), slot([2, 2, 2], .f16)]
        try AdamW.step(slots, .init(lr: 0.25, eps: 0, weightDecay: 0), step: 1)
        // The first step of Adam is lr in the gradient's direction.
        for slot in slots { #expect(slot.parameter.floats.allSatisfy { ($0 - 0.75).magnitude < 1e-6 }) }
        #expect(slots[0].gradient.floats.allSatisfy { $0 == 1 })
    }

    @Test func mastersKeepUpdatesBelowTheStorageRounding() throws {
        // 1e-4 is lost in a bf16 next to 1, 100 times over.
        func run(_ master: NDArray?) throws -> Float {
            let slot = AdamW.Slot(
                parameter: try NDArray([1], dtype: .bf16), gradient: try NDArray([1]),
                m: try NDArray.zeros([1]), v: try NDArray.zeros([1]), master: master)
            for step in 1...100 { try AdamW.step([slot], .init(lr: 1e-4, weightDecay: 0), step: step) }
            return slot.parameter.floats[0]
        }
        #expect(try run(nil) == 1)
        #expect(try run(try NDArray([1])) == 0.98828125)
    }

    @Test func refusesWhatDoesNotFit() throws {
        let (a, b) = (try NDArray.zeros([2]), try NDArray.zeros([3]))
        func slot(_ gradient: NDArray, _ master: NDArray? = nil) throws -> AdamW.Slot {
            AdamW.Slot(
                parameter: a, gradient: gradient, m: try NDArray.zeros([2]), v: try NDArray.zeros([2]),
                master: master)
        }
        let good = try slot(try NDArray.zeros([2]))
        for bad in [
            { try AdamW.step([try slot(b)], step: 1) }, { try AdamW.step([good], step: 0) },
            { try AdamW.step([try slot(a, try NDArray.zeros([2], dtype: .bf16))], step: 1) },
            { try AdamW.step([good], .init(beta2: 1), step: 1) },
        ] {
            #expect(throws: RuntimeError.self) { try bad() }
        }
        #expect(a.floats == [0, 0])
    }
}
