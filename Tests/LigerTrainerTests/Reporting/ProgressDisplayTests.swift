import Foundation
import LigerTrainer
import Testing

@Suite struct ProgressDisplayTests {
    /// What a display wrote, and a clock to set.
    private final class Recorder {
        var output = ""
        var beside = ""
        var time = 0.0

        func display(_ style: ProgressDisplay.Style, total: Int = 300, resumedAt: Int = 0) -> ProgressDisplay
        {
            ProgressDisplay(
                style: style, totalSteps: total, resumedAt: resumedAt,
                output: .init(write: { self.output += $0 }, writeBeside: { self.beside += $0 }),
                now: { self.time })
        }
    }

    private func line(_ step: Int) -> MetricsLine {
        var line = MetricsLine(step: step, loss: 2.31256)
        line.tokensPerSecond = 12_345.6
        line.memoryBytes = 512 << 20
        return line
    }

    @Test func plainLinesComeEveryFewStepsAndAtBothEnds() {
        let recorder = Recorder()
        let display = recorder.display(.plain(every: 10), total: 25)
        for step in 1...25 {
            recorder.time = Double(step) * 2
            display.update(line(step))
        }
        display.update(MetricsLine(step: 25, evaluationLoss: 2.5))
        display.finish()
        #expect(
            recorder.output == """
                step 1/25  loss 2.3126  12,346 tokens/s  48.0 s left  512.0 MiB
                step 10/25  loss 2.3126  12,346 tokens/s  30.0 s left  512.0 MiB
                step 20/25  loss 2.3126  12,346 tokens/s  10.0 s left  512.0 MiB
                step 25/25  loss 2.3126  12,346 tokens/s  512.0 MiB
                step 25/25  evaluation loss 2.5000

                """)
    }

    @Test func figuresFollowTheLoss() {
        let recorder = Recorder()
        let display = recorder.display(.plain(every: 1), total: 1)
        var step = line(1), evaluation = MetricsLine(step: 1, evaluationLoss: 0.5)
        step.figures = [
            .accuracy: 0.75, .chosenReward: 0.5, .rejectedReward: -0.25, .rewardMargin: 0.75,
            .likelihoodLoss: 2,
        ]
        evaluation.figures = [.divergence: 1, .softLoss: 2, .hardLoss: 3]
        for line in [step, evaluation] { display.update(line) }
        #expect(
            recorder.output == """
                step 1/1  loss 2.3126  chosen 0.500  rejected -0.250  margin 0.750  accuracy 75%  nll 2.0000  \
                12,346 tokens/s  512.0 MiB
                step 1/1  evaluation loss 0.5000  kl 1.000  soft 2.0000  hard 3.0000

                """)
    }

    @Test func timeLeftCountsOnlyThisProcess() {
        let recorder = Recorder()
        let display = recorder.display(.plain(every: 1), total: 300, resumedAt: 100)
        recorder.time = 5
        display.update(line(101))
        #expect(recorder.output.contains("16m 35s left"))
    }

    @Test func jsonWritesNothingButObjects() throws {
        let recorder = Recorder()
        let display = recorder.display(.json)
        display.note("reading")
        display.update(line(1))
        display.update(MetricsLine(step: 1, evaluationLoss: 3))
        display.finish()
        #expect(recorder.output == line(1).json + "\n" + #"{"step":1,"eval_loss":3.0}"# + "\n")
        #expect(recorder.beside == "reading\n")
    }

    @Test func theTerminalsLineIsRedrawn() {
        let recorder = Recorder()
        let display = recorder.display(.terminal(columns: { 100 }))
        recorder.time = 60
        display.update(line(150))
        let bar =
            " 50% ━━━━━━━━━━━━━━━─────────────── 150/300  loss 2.3126  12,346 tokens/s  1m 00s left  512.0 MiB"
        #expect(recorder.output == "\r\(bar)\u{1B}[K")
        recorder.output = ""
        recorder.time = 60.05
        display.update(line(151))
        #expect(recorder.output == "", "twice within a tenth of a second")
        display.note("saved")
        #expect(recorder.output == "\r\u{1B}[Ksaved\n\(bar)")
        display.update(line(300))
        #expect(recorder.output.contains("100% ━━━━━━"))
        display.finish()
        #expect(recorder.output.hasSuffix("\n"))
    }

    // From a width that holds everything to one that holds nothing.
    @Test func theLineNeverWraps() {
        for columns in 1...160 {
            let recorder = Recorder()
            recorder.time = 100
            let display = recorder.display(.terminal(columns: { columns }), total: 100_000)
            recorder.time = 200
            display.update(line(99_999))
            let visible = recorder.output.dropFirst().prefix { $0 != "\u{1B}" }
            #expect(visible.count < columns, "\(columns) columns: \(visible)")
        }
    }
}
