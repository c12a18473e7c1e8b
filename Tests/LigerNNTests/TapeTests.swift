import LigerNN
import LigerRuntime
import Testing
import Tile

@Suite(.serialized) struct TapeTests {
    private let parameter: Parameter

    init() throws {
        parameter = Parameter("p", [2, 3], initialisation: .constant(0))
        parameter.value = try NDArray([1, 2, 3, 4, 5, 6], [2, 3])
    }

    private func sum(_ x: Tensor) throws -> Tensor { try x.reshaped([1, x.value.count]).rowSums() }

    @Test func addsUpTheUsesOfAValue() throws {
        let tape = Tape()
        let p = tape.tensor(of: parameter)
        let double = try p.adding(p)
        // x = 2p; loss = sum(x x + x) has the gradient 8p + 2.
        try tape.backward(sum(double.multiplied(by: double).adding(double)))
        #expect(parameter.gradient?.floats == [10, 18, 26, 34, 42, 50])
        #expect(p.gradient?.floats == parameter.gradient?.floats)
    }

    @Test func addsToEarlierGradientsWithoutTouchingCopies() throws {
        var kept: [NDArray] = []
        for turn in 1...3 {
            let tape = Tape()
            try tape.backward(sum(tape.tensor(of: parameter)))
            let gradient = try #require(parameter.gradient)
            #expect(gradient.floats == [Float](repeating: Float(turn), count: 6))
            kept.append(gradient)
        }
        #expect(kept.map { $0.floats[0] } == [1, 2, 3])
    }

    @Test func sumsInPlaceWhenNobodyElseHoldsTheGradient() throws {
        func pass() throws {
            let tape = Tape()
            try tape.backward(sum(tape.tensor(of: parameter)))
        }
        try pass()
        let address = parameter.gradient?.address
        try pass()
        #expect(parameter.gradient?.address == address)
    }

    @Test func refusesASecondBackward() throws {
        let tape = Tape()
        let loss = try sum(tape.tensor(of: parameter))
        try tape.backward(loss)
        let error = #expect(throws: RuntimeError.self) { try tape.backward(loss) }
        #expect(error?.description.contains("has run backward already") == true)
        #expect(parameter.gradient?.floats == [1, 1, 1, 1, 1, 1])
    }

    @Test func refusesLossesItCannotDifferentiate() throws {
        let tape = Tape()
        let p = tape.tensor(of: parameter)
        #expect(throws: RuntimeError.self) { try tape.backward(p.adding(p)) }
        let constant = try sum(tape.constant(parameter.value))
        #expect(throws: RuntimeError.self) { try tape.backward(constant) }
        // Neither spoils the tape.
        try tape.backward(sum(p))
        #expect(parameter.gradient != nil)
    }

    @Test func leavesFrozenParametersAlone() throws {
        let other = Parameter("q", [2, 3], initialisation: .constant(2))
        try other.allocate(on: .cpu)
        try other.initialise(seed: 0, stream: 0)
        parameter.requiresGradient = false
        let tape = Tape()
        try tape.backward(sum(tape.tensor(of: parameter).multiplied(by: tape.tensor(of: other))))
        #expect(parameter.gradient == nil)
        #expect(other.gradient?.floats == [1, 2, 3, 4, 5, 6])
    }

    @Test func savesNothingWhenNotRecording() throws {
        let tape = Tape(recording: false)
        let y = try tape.tensor(of: parameter).adding(tape.tensor(of: parameter))
        #expect(!y.requiresGradient)
        #expect(y.value.floats == [2, 4, 6, 8, 10, 12])
        #expect(throws: RuntimeError.self) { try tape.backward(sum(y)) }
    }

    @Test func gradientsOf16BitParametersAreSummedInF32() throws {
        let narrow = Parameter("n", [1, 1], dtype: .bf16, initialisation: .constant(1))
        try narrow.allocate(on: .cpu)
        try narrow.initialise(seed: 0, stream: 0)
        // 1 + 2^-10 is no bf16 number: 1,024 further passes in bf16 would add nothing.
        for factor in [Float](repeating: 0x1p-10, count: 1024) + [1] {
            let tape = Tape()
            let scaled = try tape.tensor(of: narrow).mapped(.scaled(by: factor))
            try tape.backward(sum(scaled))
        }
        #expect(narrow.gradient?.dtype == .f32)
        #expect(narrow.gradient?.floats == [2])
    }
}
