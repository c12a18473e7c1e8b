import Foundation
import LigerKernels
import LigerLosses
import LigerRuntime
import TestSupport
import Testing
import Tile

@Suite struct FusedLinearDistillationTests {
    typealias Fused = FusedLinearDistillation

    static let formulas: [Fused.Formula] = [
        .jensenShannon(beta: 0), .jensenShannon(beta: 0.3), .jensenShannon(beta: 1), .cosine(beta: 0.5),
        .kullbackLeibler(),
    ]

    struct Sample {
        let student, layer: LinearHead
        let probabilities: NDArray
        let labels: NDArray

        init(
            tokens: Int = 7, vocabulary: Int = 19, teacherVocabulary: Int = 19, _ dtype: DType = .f32,
            ignoring: (Int) -> Bool = { $0 % 4 == 1 }, seed: UInt64
        ) throws {
            var random = SeededGenerator(seed: seed)
            func head(_ classes: Int, _ hidden: Int) throws -> LinearHead {
                LinearHead(
                    input: try random.array([tokens, hidden], dtype, in: -1...1),
                    weight: try random.array([classes, hidden], dtype, in: -2...2),
                    bias: try random.array([classes], dtype, in: -1...1))
            }
            student = try head(vocabulary, 5)
            layer = try head(teacherVocabulary, 3)
            var values: [Float] = []
            for _ in 0..<tokens {
                let scores = random.floats(vocabulary, in: -3...3).map { exp($0) }
                values += scores.map { $0 / scores.reduce(0, +) }
            }
            probabilities = try NDArray(values, [tokens, vocabulary], dtype: dtype)
            labels = try NDArray(
                integers: (0..<tokens).map {
                    ignoring($0) ? -100 : Int.random(in: 0..<vocabulary, using: &random)
                })
        }

        func teacher(_ formula: Fused.Formula) -> Fused.Teacher {
            if case .kullbackLeibler = formula { .probabilities(probabilities) } else { .layer(layer) }
        }
    }

    /// The gradient that kernels are checked against is that of the loss, by differences.
    @Test(arguments: Self.formulas)
    func referenceGradientsAreThoseOfTheLoss(formula: Fused.Formula) throws {
        var random = SeededGenerator(seed: 12)
        let doubles = { (count: Int) in random.floats(count, in: -2...2).map { Double($0) } }
        let (z, u) = (doubles(7), doubles(formula == .kullbackLeibler() ? 7 : 9))
        let p = u.map { exp($0) / u.map { exp($0) }.reduce(0, +) }
        func value(_ z: [Double]) -> Fused.Reference.Value {
            Fused.Reference.soft(formula, z, u, p, temperature: 1.5)
        }
        let slopes = SequenceReference.slopes(z) { value($0).value }
        #expect(relativeError(value(z).gradient, slopes, scale: 1) < 1e-8)
    }

    private func check(
        _ formula: Fused.Formula, _ sample: Sample, _ options: Fused.Options, _ dtype: DType,
        labelled: Bool = true, _ location: Testing.SourceLocation = #_sourceLocation
    ) throws {
        let found = try Fused.forward(
            formula, student: sample.student, teacher: sample.teacher(formula),
            labels: labelled ? sample.labels : nil, options: options)
        let plain = sample.labels.integers.map { _ in 0 }
        let model = SequenceReference(sample.student, labels: plain)
        let wanted = Fused.Reference.forward(
            formula, student: model, teacher: SequenceReference(sample.layer, labels: plain),
            labels: labelled ? sample.labels.integers : nil, probabilities: sample.probabilities.doubles,
            options)
        let note = Comment(rawValue: "\(formula) \(options)")
        for (array, value) in [(found.loss, wanted.loss), (found.soft, wanted.soft)] {
            #expect(
                relativeError(array.doubles, [value], scale: Swift.max(value.magnitude, 1))
                    < bound(.f32, terms: 16), note, sourceLocation: location)
        }
        #expect((found.hard == nil) == (options.hardWeight == 0), note, sourceLocation: location)
        if let hard = found.hard {
            #expect(relativeError(hard.doubles, [wanted.hard], scale: 4) < bound(.f32, terms: 16), note)
        }
        let gradients = model.gradients(ofLogits: wanted.gradient)
        for (array, expected) in [
            (found.dInput, gradients.input), (found.dWeight, gradients.weight), (found.dBias, gradients.bias),
        ] {
            let scale = Swift.max(expected.scale, 0x1p-6)
            #expect(
                relativeError(array?.doubles ?? [], expected.values, scale: scale) < bound(dtype, terms: 16),
                note, sourceLocation: location)
        }
    }

    /// One chunk, some, and one per token; hard and soft, each alone and both; temperatures.
    @Test(arguments: Self.formulas, floatTypes)
    func matchesDouble(formula: Fused.Formula, dtype: DType) throws {
        for (i, (hard, temperature, rows)) in [(0, 1, 100), (0.5, 2, 3), (0.3, 0.5, 1)].enumerated() {
            let sample = try Sample(dtype, seed: UInt64(i))
            let options = Fused.Options(
                hardWeight: Float(hard), softWeight: 0.7,
                sequences: .init(temperature: Float(temperature), budgetBytes: rows * 2 * 19 * 4))
            try check(formula, sample, options, dtype)
        }
        try check(formula, try Sample(dtype, seed: 5), .init(), dtype, labelled: false)
    }

    /// A teacher of more classes; sizes around vectors.
    @Test(arguments: [1, 2, 17, 64], [0, 1, 5, 64])
    func largerTeachers(vocabulary: Int, more: Int) throws {
        for formula in Self.formulas.dropLast() {
            let sample = try Sample(
                tokens: 3, vocabulary: vocabulary, teacherVocabulary: vocabulary + more, seed: 6)
            try check(formula, sample, .init(hardWeight: 0.5, sequences: .init(temperature: 1.5)), .f32)
        }
    }

    /// As a GPU stores logits: of a student near its teacher, whose gradient is far below a 16-bit rounding of its
    /// logits. That of the gradient itself is left, a 512th or less of each entry.
    @Test(arguments: Self.formulas, [DType.bf16, .f16])
    func studentsNearTheirTeachers(formula: Fused.Formula, dtype: DType) throws {
        var random = SeededGenerator(seed: 15)
        let (tokens, hidden, vocabulary) = (6, 32, 200)
        let x = try random.array([tokens, hidden], dtype, in: -4...4)
        let w = random.floats(vocabulary * hidden, in: -2...2)
        let student = LinearHead(input: x, weight: try NDArray(w, [vocabulary, hidden], dtype: dtype))
        let moved = zip(w, random.floats(w.count, in: -1...1)).map { $0 + $1 / 32 }
        let layer = LinearHead(input: x, weight: try NDArray(moved, [vocabulary, hidden], dtype: dtype))
        let labels = [Int](repeating: 0, count: tokens)
        let model = SequenceReference(student, labels: labels)
        let other = SequenceReference(layer, labels: labels)
        let p = (0..<tokens).flatMap { token in
            let row = other.logits[(token * vocabulary)..<((token + 1) * vocabulary)]
            let lse = SequenceReference.lse(Array(row))
            return row.map { Float(exp($0 - lse)) }
        }
        let probabilities = try NDArray(p, [tokens, vocabulary])
        let wanted = Fused.Reference.forward(
            formula, student: model, teacher: other, labels: nil, probabilities: probabilities.doubles,
            .init()
        )
        let isKL = formula == .kullbackLeibler()
        let found = try LogitStorage.$isAsOnGPU.withValue(true) {
            try Fused.forward(
                formula, student: student, teacher: isKL ? .probabilities(probabilities) : .layer(layer),
                needs: [.all, .scales])
        }
        #expect(relativeError(found.loss.doubles, [wanted.loss]) < 1e-4)
        let gradients = model.gradients(ofLogits: wanted.gradient)
        for (array, scales, expected) in [
            (found.dInput, found.scales.input, gradients.input),
            (found.dWeight, found.scales.weight, gradients.weight),
        ] {
            let values = try Cast.apply(try #require(array), to: .f32)
            if let scales { try CrossEntropy.scale(values, by: scales) }
            let error = normError(values.doubles, expected.values)
            #expect(error < (dtype == .bf16 ? 4e-3 : 6e-4), "\(error)")
        }
    }

    /// A row of zeros has no angle: its cosine is 0 and the loss 1, of a student, of a teacher with more classes, or both.
    @Test(arguments: [(true, false), (false, true), (true, true)])
    func rowsOfNoLength(isZero: (student: Bool, teacher: Bool)) throws {
        func head(_ classes: Int, _ isZero: Bool) throws -> LinearHead {
            LinearHead(
                input: try NDArray([isZero ? 0 : 1], [1, 1]),
                weight: try NDArray((0..<classes).map { Float($0) - 2 }, [classes, 1]))
        }
        let found = try Fused.forward(
            .cosine(beta: 0.5), student: head(6, isZero.student), teacher: .layer(head(8, isZero.teacher)))
        #expect(relativeError(found.loss.doubles, [0.5]) < bound(.f32))
        #expect(found.dInput?.floats.allSatisfy { $0.isFinite } == true)
    }

    @Test func allTokensIgnoredGiveZero() throws {
        let sample = try Sample(ignoring: { _ in true }, seed: 7)
        for formula in Self.formulas {
            let found = try Fused.forward(
                formula, student: sample.student, teacher: sample.teacher(formula), labels: sample.labels,
                options: .init(hardWeight: 0.5))
            #expect(found.loss.floats == [0] && found.soft.floats == [0] && found.hard?.floats == [0])
            for gradient in [found.dInput, found.dWeight, found.dBias] {
                #expect(gradient?.floats.allSatisfy { $0 == 0 } == true)
            }
        }
    }

    @Test func computesOnlyWhatIsNeeded() throws {
        let sample = try Sample(seed: 8)
        let all = try Fused.forward(
            .cosine(beta: 1), student: sample.student, teacher: .layer(sample.layer), labels: sample.labels)
        for flags in 0..<8 {
            let needs = LinearNeeds(rawValue: flags)
            let found = try Fused.forward(
                .cosine(beta: 1), student: sample.student, teacher: .layer(sample.layer),
                labels: sample.labels, needs: needs)
            #expect(found.loss.floats == all.loss.floats)
            #expect(found.dInput?.floats == (needs.contains(.input) ? all.dInput?.floats : nil))
            #expect(found.dWeight?.floats == (needs.contains(.weight) ? all.dWeight?.floats : nil))
            #expect(found.dBias?.floats == (needs.contains(.bias) ? all.dBias?.floats : nil))
        }
    }

    @Test func refusesMisfits() throws {
        let sample = try Sample(seed: 9), small = try Sample(vocabulary: 20, seed: 9)
        func run(
            _ formula: Fused.Formula, _ teacher: Fused.Teacher, _ labels: NDArray?, _ options: Fused.Options
        ) throws {
            _ = try Fused.forward(
                formula, student: sample.student, teacher: teacher, labels: labels, options: options)
        }
        let jsd = Fused.Formula.jensenShannon(beta: 0.5), layer = Fused.Teacher.layer(sample.layer)
        #expect(throws: RuntimeError.self) {
            try run(jsd, .probabilities(sample.probabilities), nil, .init())
        }
        #expect(throws: RuntimeError.self) { try run(.kullbackLeibler(), layer, nil, .init()) }
        #expect(throws: RuntimeError.self) { try run(jsd, layer, nil, .init(hardWeight: 1)) }
        #expect(throws: RuntimeError.self) {
            try run(jsd, layer, nil, .init(sequences: .init(temperature: 0)))
        }
        #expect(throws: RuntimeError.self) { try run(.jensenShannon(beta: 2), layer, nil, .init()) }
        #expect(throws: RuntimeError.self) {
            try Fused.forward(jsd, student: small.student, teacher: layer)
        }
    }
}
