import LigerKernels
import LigerRuntime
import Tile

extension CrossEntropyTVD: Catalogued {
    package static let entry = CatalogueEntry(
        name: "CrossEntropyTVD", summary: "cross entropy and sum|softmax(x) - softmax(z)| / 2 of a row",
        workload: { size in
            var samples = size.samples(seed: 23)
            let student = try samples.array([size.rows, size.vocabulary], size.dtype)
            let teacher = try samples.array([size.rows, size.vocabulary], size.dtype)
            let labels = try samples.positions(size.rows, below: size.vocabulary)
            let upstream = try samples.array([size.rows], .f32)
            let shape = "\(size.rows)x\(size.vocabulary) \(size.dtype.rawValue)"
            return Workload(shape: shape, floorBytes: 5 * student.byteCount) {
                let found = try CrossEntropyTVD.forward(student: student, teacher: teacher, labels: labels)
                _ = try CrossEntropyTVD.backward(
                    dCrossEntropy: upstream, dTotalVariation: upstream, student: student, teacher: teacher,
                    labels: labels, statistics: found.statistics)
            }
        },
        check: { point in
            var samples = point.samples
            let n = point.columns
            let student = try samples.array([point.rows, n], point.dtype, in: -4...4)
            let teacher = try samples.array([point.rows, n], point.dtype, in: -4...4)
            let labels = try samples.positions(point.rows, below: n)
            let dce = try samples.array([point.rows], .f32), dtvd = try samples.array([point.rows], .f32)
            let found = try CrossEntropyTVD.forward(student: student, teacher: teacher, labels: labels)
            let gradient = try CrossEntropyTVD.backward(
                dCrossEntropy: dce, dTotalVariation: dtvd, student: student, teacher: teacher, labels: labels,
                statistics: found.statistics)
            let expected = CrossEntropyTVD.Reference.forward(
                student: student.doubles, teacher: teacher.doubles, labels: labels.integers, classes: n,
                ignoreIndex: -100)
            let expectedGradient = CrossEntropyTVD.Reference.backward(
                dCrossEntropy: dce.doubles, dTotalVariation: dtvd.doubles, student: student.doubles,
                teacher: teacher.doubles, labels: labels.integers, classes: n, ignoreIndex: -100)
            return [
                point.result("ce", found.crossEntropy, expected.crossEntropy, terms: 16),
                point.result("tvd", found.totalVariation, expected.totalVariation, terms: 16, scale: 1),
                point.result("dx", gradient, expectedGradient, terms: 16, scale: 2),
            ]
        })
}
