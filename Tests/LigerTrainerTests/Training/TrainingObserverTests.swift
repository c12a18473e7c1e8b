import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct TrainingObserverTests {
    private struct Enough: Error {}

    /// The lines of the file, in their order; what it throws ends the run, which can be resumed.
    @Test func getsTheMetricsOfARun() throws {
        try withTemporaryFolder { folder in
            let small = try SmallRun(in: folder)
            var options = TrainingOptions()
            (options.data, options.model, options.out) = (small.dataPath, "nano", small.out)
            (options.steps, options.batch, options.sequenceLength) = (6, 2, 32)
            (options.evaluationEvery, options.saveEvery) = (3, 2)
            var lines: [MetricsLine] = []
            let failing = TrainingObserver(showsProgress: false) { line in
                lines.append(line)
                if line.step == 5 { throw Enough() }
            }
            #expect(throws: Enough.self) { try TrainingRun(options, observer: failing).train() }
            #expect(lines.map(\.step) == [0, 1, 2, 3, 3, 4, 5])

            options.resume = true
            let resumed = TrainingObserver(showsProgress: false) { lines.append($0) }
            #expect(try TrainingRun(options, observer: resumed).train() == .finished)
            #expect(lines.dropFirst(7).map(\.step) == [5, 6, 6])
            let written = try MetricsLog.read("\(small.out)/metrics.jsonl")
            #expect(written == Array(lines[..<6] + lines[7...]))
        }
    }
}
