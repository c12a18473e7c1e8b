import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Gradients of scaled cross entropy from the epilogue of the product that makes logits again, on the emulator.
@Suite struct ScaledProductTests {
    @Test(arguments: [false, true]) func matchesOnTheEmulator(hasAll: Bool) throws {
        // Tokens and classes that fill no tile, in two blocks of classes.
        let (tokens, hidden, classes) = (133, 72, 300)
        var random = SeededGenerator(seed: 15)
        let head = LinearHead(
            input: try random.array([tokens, hidden], .bf16),
            weight: try random.array([classes, hidden], .bf16))
        let labels = try NDArray(
            integers: try random.tokens([tokens], below: classes).integers.enumerated().map {
                $0 % 5 == 1 ? -100 : $1
            })
        let number = { try NDArray(random.floats(tokens, in: -1...1)) }
        let columns = (0..<classes).map { $0 == 7 ? 0 : $0 == classes - 1 ? 1 : -1 }
        let (nll, entropy) = (try number(), try number())
        let selected: (derivatives: NDArray, columns: NDArray)? =
            hasAll
            ? (
                try NDArray(random.floats(tokens * 2, in: -1...1), [tokens, 2]),
                try NDArray(integers: columns, dtype: .i32)
            ) : nil
        let options = SequenceOptions(temperature: 0.7, budgetBytes: 256 * tokens * 2)
        let upstream = FusedLinearScaledCrossEntropy.Upstream(
            nll: nll, entropy: hasAll ? entropy : nil, selected: selected)
        func run() throws -> FusedLinearScaledCrossEntropy.Gradients {
            let found = try FusedLinearScaledCrossEntropy.forward(
                head: head, labels: labels, wantsEntropy: true, sequences: options)
            return try FusedLinearScaledCrossEntropy.backward(
                head: head, labels: labels, found, upstream: upstream, sequences: options)
        }
        let expected = try run()
        let gradients = try LabelScores.$isForced.withValue(true) {
            try LogitStorage.$isAsOnGPU.withValue(true) {
                try LaunchObservation.with(EmulatedLaunch()) { try run() }
            }
        }
        for (a, b) in [(gradients.dInput, expected.dInput), (gradients.dWeight, expected.dWeight)] {
            #expect(relativeError(try #require(a).doubles, try #require(b).doubles) < 2 * 0x1p-8)
        }
    }
}
