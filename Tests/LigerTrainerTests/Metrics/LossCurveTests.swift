import Foundation
import LigerTrainer
import TestSupport
import Testing

/// Counts elements and collects the texts of an XML document.
private final class Outline: NSObject, XMLParserDelegate {
    var elements: [String: Int] = [:]
    var classes: [String: Int] = [:]
    var text = ""

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        elements[name, default: 0] += 1
        if let style = attributes["class"] { classes[style, default: 0] += 1 }
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

    static func of(_ svg: String) -> Outline? {
        let outline = Outline()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = outline
        return parser.parse() ? outline : nil
    }
}

@Suite struct LossCurveTests {
    private func curve(_ losses: [Double], evaluation: [Double] = []) -> LossCurve {
        var curve = LossCurve(title: "Run", subtitle: "tiny", lines: [], uniformLoss: 5.545)
        curve.training = losses.enumerated().map { .init(step: $0 + 1, loss: $1) }
        curve.evaluation = evaluation.enumerated().map { .init(step: 10 * ($0 + 1), loss: $1) }
        return curve
    }

    @Test func aRunIsDrawnAsLinesAndDots() throws {
        let losses = (1...100).map { 2 + 3 / Double($0) }
        let outline = try #require(Outline.of(curve(losses, evaluation: [4, 3, 2.5]).svg))
        #expect(outline.classes["dot"] == 3 && outline.elements["svg"] == 1)
        // Once in the plot, once in the legend.
        #expect(
            outline.classes["train"] == 2 && outline.classes["eval"] == 2 && outline.classes["level"] == 2)
        for part in [
            "Run", "tiny", "evaluation 2.500", "uniform guess 5.545", "loss (nats per token)", "100",
        ] {
            #expect(outline.text.contains(part), "\(part)")
        }
    }

    // Nothing, one point, a flat line, one that is flat but for the last bit, no number, far too large and tiny numbers, more points than pixels.
    @Test(arguments: [
        [], [3], [3, 3, 3], [.nan, .infinity], [1, .nan, 2], [1e30, 1e-30], [0, 0], [0.3, 0.3 + 0x1p-54],
        [-5, 5], [1e-12, 2e-12],
        (0..<10_000).map { Double($0 % 7) },
    ])
    func everyListOfLossesIsAWellFormedPicture(losses: [Double]) throws {
        for uniform in [5.5, nil] {
            var curve = curve(losses, evaluation: losses)
            curve.uniformLoss = uniform
            let svg = curve.svg
            #expect(Outline.of(svg) != nil)
            #expect(!svg.contains("nan") && !svg.contains("inf"))
            #expect(svg.utf8.count < 200_000)
        }
    }

    @Test func titlesMayHoldAnyCharacter() throws {
        var curve = curve([1, 2])
        curve.title = "a<b & \"c\"> \u{0} \u{1B}[1m \u{FFFE} 日本"
        let outline = try #require(Outline.of(curve.svg))
        #expect(outline.text.contains("a<b & \"c\"> \u{FFFD} \u{FFFD}[1m \u{FFFD} 日本"))
    }

    @Test func linesOfALogBecomePoints() {
        var evaluation = MetricsLine(step: 2)
        evaluation.evaluationLoss = 4
        let curve = LossCurve(title: "", subtitle: "", lines: [MetricsLine(step: 1, loss: 5), evaluation])
        #expect(curve.training == [.init(step: 1, loss: 5)])
        #expect(curve.evaluation == [.init(step: 2, loss: 4)])
    }

    // Ordinary axes, steps, tiny spans around a large value, and a flat line.
    @Test(arguments: [
        (0.0, 300.0, 8, true, "0 50 100 150 200 250 300"), (1.9, 5.6, 6, false, "1 2 3 4 5 6"),
        (2.31, 2.34, 6, false, "2.310 2.315 2.320 2.325 2.330 2.335 2.340"), (0, 3, 8, true, "0 1 2 3"),
        (0, 12_000, 6, true, "0 2,000 4,000 6,000 8,000 10,000 12,000"),
        (-1, 1, 4, false, "-1.0 -0.5 0.0 0.5 1.0"),
        (0, 1e-8, 5, false, "0 2.00e-09 4.00e-09 6.00e-09 8.00e-09 1.00e-08"),
    ])
    func ticksAreRound(low: Double, high: Double, count: Int, whole: Bool, expected: String) {
        let ticks = AxisTicks(covering: low, high, count: count, whole: whole)
        #expect(ticks.values.map(ticks.label).joined(separator: " ") == expected)
    }

    @Test func ticksCoverWhatTheyAreAskedTo() {
        let seed: UInt64 = 11
        var random = SeededGenerator(seed: seed)
        for trial in 0..<2000 {
            let low = Double.random(in: -100...100, using: &random)
            let high = low + pow(10, Double.random(in: -6...6, using: &random))
            let ticks = AxisTicks(covering: low, high, count: 6)
            let slack = ticks.step * 1e-6
            #expect(
                ticks.values[0] <= low + slack && ticks.values.last ?? 0 >= high - slack,
                "seed \(seed), trial \(trial): \(low) \(high)")
            #expect(
                (3...16).contains(ticks.values.count), "seed \(seed), trial \(trial): \(ticks.values.count)")
        }
    }
}
