import Foundation
import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct DivergenceTests {
    static let formulas: [Divergence.Formula] = [
        .kullbackLeibler(eps: 1e-10), .kullbackLeibler(eps: 0.05), .kullbackLeiblerOfLogarithms,
        .jensenShannon(beta: 0), .jensenShannon(beta: 0.1), .jensenShannon(beta: 0.5),
        .jensenShannon(beta: 1), .totalVariation,
    ]

    /// Distributions as a formula takes them.
    private func arrays(
        _ formula: Divergence.Formula, _ rows: Int, _ columns: Int, _ dtype: DType, seed: UInt64
    ) throws -> (student: NDArray, teacher: NDArray) {
        var random = SeededGenerator(seed: seed)
        func draw(_ isLogarithm: Bool) throws -> NDArray {
            var values: [Float] = []
            for _ in 0..<rows {
                let scores = random.floats(columns, in: -5...5).map { Double($0) }
                let sum = scores.map { exp($0) }.reduce(0, +)
                values += scores.map { Float(isLogarithm ? $0 - log(sum) : exp($0) / sum) }
            }
            return try NDArray(values, [rows, columns], dtype: dtype)
        }
        switch formula {
        case .kullbackLeibler: return (try draw(true), try draw(false))
        case .totalVariation: return (try draw(false), try draw(false))
        default: return (try draw(true), try draw(true))
        }
    }

    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(columns: Int, dtype: DType) throws {
        for (i, formula) in Self.formulas.enumerated() {
            let rows = [1, 7][i % 2]
            let (student, teacher) = try arrays(formula, rows, columns, dtype, seed: UInt64(columns + i))
            let ignored = try NDArray(integers: (0..<rows).map { $0 % 3 == 1 ? 5 : 0 }, dtype: .i32)
            for reduction in Divergence.Reduction.allCases {
                for labels in [nil, ignored] {
                    let options = Divergence.Options(reduction: reduction, ignoreIndex: 5)
                    let found = try Divergence.forward(
                        formula, student: student, teacher: teacher, labels: labels, options: options)
                    let expected = Divergence.Reference.forward(
                        formula, student: student.doubles, teacher: teacher.doubles, columns: columns,
                        labels: labels?.integers, options)
                    // What is summed to the loss, before it cancels, is of this size.
                    let size = 16 * (expected.gradient.map(\.magnitude).max() ?? 0)
                    let scale = Swift.max(size, expected.loss.map(\.magnitude).max() ?? 0)
                    #expect(
                        relativeError(found.loss.doubles, expected.loss, scale: scale)
                            < bound(.f32, terms: 16), "\(formula) \(reduction)")
                    // Below f16's least normal number, 2^-14, numbers lie as far apart as there.
                    #expect(
                        relativeError(
                            found.gradient?.doubles ?? [], expected.gradient,
                            scale: largest(expected.gradient, 0x1p-14)) < bound(dtype, terms: 16),
                        "\(formula) \(reduction)")
                    #expect(found.gradient?.dtype == dtype && found.loss.dtype == .f32)
                }
            }
        }
    }

    /// By differences in Double, the gradient is that of the loss.
    @Test func gradientsAreThoseOfTheLoss() throws {
        for formula in Self.formulas {
            let (student, teacher) = try arrays(formula, 1, 9, .f32, seed: 4)
            for (x, y) in zip(student.doubles, teacher.doubles) {
                let (above, below) = (x + 1e-5, x - 1e-5)
                let values = [above, below].map {
                    Divergence.Reference.terms(formula, student: $0, teacher: y)
                }
                let slope = Divergence.Reference.terms(formula, student: x, teacher: y).slope
                #expect(abs((values[0].value - values[1].value) / 2e-5 - slope) < 1e-6, "\(formula)")
            }
        }
    }

    /// Probabilities of 0 and logarithms of -inf on either side and on both; equal distributions.
    @Test(arguments: [0, 0.5, 1] as [Float])
    func staysFiniteAtZeroProbabilities(beta: Float) throws {
        let none = -Float.infinity
        let student = try NDArray([0, none, none, -200, 0, -200], [2, 3])
        let teacher = try NDArray([none, 0, none, 0, -200, -200], [2, 3])
        let found = try Divergence.forward(.jensenShannon(beta: beta), student: student, teacher: teacher)
        let gradient = found.gradient?.floats ?? []
        if beta == 0.5 {
            #expect(abs(found.loss.floats[0] - log(2)) < 1e-6)
            #expect(gradient.allSatisfy { $0.isFinite })
        } else {
            // One-sided divergences of distributions that share nothing are infinite or large, never NaN.
            #expect(!found.loss.floats[0].isNaN && !gradient.contains { $0.isNaN })
        }
        let same = try Divergence.forward(.jensenShannon(beta: beta), student: teacher, teacher: teacher)
        #expect(same.loss.floats == [0])
        let ties = try Divergence.forward(
            .totalVariation, student: NDArray([0.25, 0.75], [1, 2]), teacher: NDArray([0.25, 0.75], [1, 2]))
        #expect(ties.loss.floats == [0] && ties.gradient?.floats == [0, 0])
        let zeros = try Divergence.forward(
            .kullbackLeibler(eps: 1e-10), student: NDArray([none, 0], [1, 2]),
            teacher: NDArray([0, 1], [1, 2]))
        #expect(zeros.loss.floats == [0] && zeros.gradient?.floats == [0, -1])
    }

    /// Close distributions: log m must not be a difference of large logarithms.
    @Test func keepsDigitsOfCloseDistributions() throws {
        let x: [Float] = (0..<64).map { -12 - Float($0) / 8 }
        let student = try NDArray(x, [1, 64]), teacher = try NDArray(x.map { $0 + 0x1p-10 }, [1, 64])
        let formula = Divergence.Formula.jensenShannon(beta: 0.5)
        let found = try Divergence.forward(formula, student: student, teacher: teacher)
        let expected = Divergence.Reference.forward(
            formula, student: student.doubles, teacher: teacher.doubles, columns: 64, .init())
        for (a, b) in zip(found.gradient?.doubles ?? [], expected.gradient) {
            #expect(abs(a - b) < 3e-4 * b.magnitude)
        }
    }

    @Test func allRowsIgnoredGiveZero() throws {
        for formula in Self.formulas {
            let (student, teacher) = try arrays(formula, 3, 4, .f32, seed: 5)
            for reduction in Divergence.Reduction.allCases {
                let found = try Divergence.forward(
                    formula, student: student, teacher: teacher,
                    labels: try NDArray(integers: [-100, -100, -100]), options: .init(reduction: reduction))
                #expect(found.loss.floats.allSatisfy { $0 == 0 })
                #expect(found.gradient?.floats.allSatisfy { $0 == 0 } == true)
            }
        }
    }

    @Test func scalesByEntryAndOverwrites() throws {
        let (student, teacher) = try arrays(.jensenShannon(beta: 0.5), 3, 5, .bf16, seed: 6)
        let options = Divergence.Options(reduction: .none)
        let plain = try Divergence.forward(
            .jensenShannon(beta: 0.5), student: student, teacher: teacher, options: options)
        let gradient = try #require(plain.gradient)
        let before = gradient.floats
        let upstream = (0..<15).map { Float($0) - 7 }
        try Divergence.scale(gradient, byEntry: NDArray(upstream, [3, 5]))
        let expected = try NDArray(zip(before, upstream).map { $0 * $1 }, dtype: .bf16).floats
        #expect(gradient.floats == expected)

        let over = try Divergence.forward(
            .jensenShannon(beta: 0.5), student: student, teacher: teacher, options: options,
            givingUpStudent: true)
        #expect(student.floats == before && over.gradient?.floats == before)
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3]), y = try NDArray.zeros([3, 2])
        #expect(throws: RuntimeError.self) { try Divergence.forward(.totalVariation, student: x, teacher: y) }
        for beta in [-0.1, 1.5, .nan] as [Float] {
            #expect(throws: RuntimeError.self) {
                try Divergence.forward(.jensenShannon(beta: beta), student: x, teacher: x)
            }
        }
        #expect(throws: RuntimeError.self) {
            try Divergence.forward(
                .totalVariation, student: x, teacher: x, labels: try NDArray(integers: [1]))
        }
    }
}
