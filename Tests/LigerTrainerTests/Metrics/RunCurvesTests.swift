import LigerTrainer
import TestSupport
import Testing

@Suite struct RunCurvesTests {
    private func run(_ name: String, _ losses: [Double], evaluation: [Double] = []) -> RunCurves.Run {
        var lines = losses.enumerated().map { index, loss in
            var line = MetricsLine(step: index + 1, loss: loss)
            line.tokensPerSecond = 1000 * loss
            return line
        }
        lines += evaluation.map { MetricsLine(step: losses.count, evaluationLoss: $0) }
        return RunCurves.Run(name: name, lines: lines)
    }

    @Test func theTableHasARowForEachRun() {
        let curves = RunCurves([
            run("first", (0..<48).map { 5 - Double($0) / 12 }, evaluation: [3, 2.5, 2.75]), run("empty", []),
        ])
        let lines = curves.table.split(separator: "\n").map(String.init)
        #expect(lines.count == 4 && lines[0].hasPrefix("run    steps    loss  best evaluation"))
        #expect(lines[2].contains("48  1.0833           2.5000       48     3,083  █"), "\(lines[2])")
        #expect(lines[2].hasSuffix("▁") && lines[3].hasPrefix("empty      0       -"))
    }

    /// Well-formed whatever is in it; a panel for each quantity that there is.
    @Test(arguments: [[], [1], [2, .nan, 3], (0..<5000).map { Double($0 % 7) }])
    func picturesAreDrawn(losses: [Double]) throws {
        let curves = RunCurves([run("a & <b>\u{1}", losses), run("c", [1, 2], evaluation: [1.5])])
        let svg = curves.svg
        #expect(svg.contains("a &amp; &lt;b&gt;\u{FFFD}: ") || losses.isEmpty)
        #expect(!svg.contains("nan") && svg.contains(">evaluation loss<") && svg.contains(">tokens/s<"))
        #expect(svg.utf8.count < 100_000 && svg.hasSuffix("</svg>\n"))
        let none = RunCurves([run("a", [])]).svg
        #expect(none.contains("no metrics yet") && !none.contains(">tokens/s<"))
    }
}
