import Foundation
import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct CrossEntropyTVDTests {
    @Test(arguments: columnGrid, floatTypes)
    func matchesDouble(classes: Int, dtype: DType) throws {
        var random = SeededGenerator(seed: UInt64(classes))
        let rows = 7
        let student = try random.array([rows, classes], dtype, in: -9...9)
        let teacher = try random.array([rows, classes], dtype, in: -9...9)
        var labels = try random.tokens([rows], below: classes).integers
        labels[2] = -1
        let targets = try NDArray(integers: labels, [rows])
        let dce = try random.array([rows]), dtvd = try random.array([rows])

        let found = try CrossEntropyTVD.forward(
            student: student, teacher: teacher, labels: targets, ignoreIndex: -1)
        let expected = CrossEntropyTVD.Reference.forward(
            student: student.doubles, teacher: teacher.doubles, labels: labels, classes: classes,
            ignoreIndex: -1)
        #expect(
            relativeError(found.crossEntropy.doubles, expected.crossEntropy, scale: 9) < bound(.f32, terms: 4)
        )
        #expect(
            relativeError(found.totalVariation.doubles, expected.totalVariation, scale: 1)
                < bound(.f32, terms: 16))

        let gradient = try CrossEntropyTVD.backward(
            dCrossEntropy: dce, dTotalVariation: dtvd, student: student, teacher: teacher, labels: targets,
            statistics: found.statistics, ignoreIndex: -1)
        let slopes = CrossEntropyTVD.Reference.backward(
            dCrossEntropy: dce.doubles, dTotalVariation: dtvd.doubles, student: student.doubles,
            teacher: teacher.doubles, labels: labels, classes: classes, ignoreIndex: -1)
        #expect(relativeError(gradient.doubles, slopes, scale: 3) < bound(dtype, terms: 16))
        #expect(gradient.floats[(2 * classes)..<(3 * classes)].allSatisfy { $0 == 0 })
    }

    /// Equal rows have no distance and no gradient of it; so has a row whose logits are far apart.
    @Test func equalRowsAndConfidentOnes() throws {
        let x = try NDArray([3, -1, 0.5, 88, -200, 300], [2, 3]), labels = try NDArray(integers: [0, 2], [2])
        let found = try CrossEntropyTVD.forward(student: x, teacher: x, labels: labels)
        #expect(found.totalVariation.floats == [0, 0] && found.crossEntropy.floats[1] == 0)
        let dx = try CrossEntropyTVD.backward(
            dCrossEntropy: .zeros([2]), dTotalVariation: NDArray([1, 1]), student: x, teacher: x,
            labels: labels,
            statistics: found.statistics)
        #expect(dx.floats.allSatisfy { $0 == 0 })
    }

    /// A class to which both give the same probability pulls neither way: its share of the distance has no slope.
    @Test func equalProbabilitiesHaveNoSlope() throws {
        let student = try NDArray([1, 0, -300], [1, 3]), teacher = try NDArray([1, -300, 0], [1, 3])
        let labels = try NDArray(integers: [0], [1])
        let found = try CrossEntropyTVD.forward(student: student, teacher: teacher, labels: labels)
        let dx = try CrossEntropyTVD.backward(
            dCrossEntropy: .zeros([1]), dTotalVariation: NDArray([1]), student: student, teacher: teacher,
            labels: labels, statistics: found.statistics)
        let q = 1 / (1 + exp(1.0)), half = 0.5 * q
        #expect(relativeError(dx.doubles, [-half * (1 - q), half * (1 - q), 0]) < bound(.f32))
    }

    @Test func refusesMisfits() throws {
        let x = try NDArray.zeros([2, 3]), labels = try NDArray(integers: [0, 3], [2])
        #expect(throws: (any Error).self) {
            try CrossEntropyTVD.forward(student: x, teacher: x, labels: labels)
        }
        #expect(throws: RuntimeError.self) {
            try CrossEntropyTVD.forward(student: x, teacher: .zeros([3, 2]), labels: labels)
        }
        #expect(throws: RuntimeError.self) { try CrossEntropyTVD.forward(student: x, teacher: x, labels: x) }
    }
}
