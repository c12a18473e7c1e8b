import Foundation
import LigerTrainer
import TestSupport
import Testing

@Suite struct MetricsLogTests {
    private func line(_ step: Int) -> MetricsLine {
        var line = MetricsLine(step: step, loss: 5 / Double(step + 1))
        line.learningRate = 1e-05
        line.tokens = 1024 * step
        return line
    }

    @Test func aLineReadsBackToTheSameBits() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/metrics.jsonl"
            var full = MetricsLine(step: 3, loss: 0.1 + 0.2, evaluationLoss: .leastNonzeroMagnitude)
            full.gradientNorm = .infinity
            full.tokensPerSecond = 1e300
            full.memoryBytes = 1 << 50
            let log = try MetricsLog(path: path, resumingAfter: nil)
            try log.append(full)
            try log.append(MetricsLine(step: 3, loss: -.infinity))
            #expect(try MetricsLog.read(path) == log.lines)
            try log.append(MetricsLine(step: 4, loss: .nan))
            #expect(try MetricsLog.read(path).last?.loss?.isNaN == true)
            #expect(
                try text(of: path).hasPrefix(#"{"step":3,"loss":0.30000000000000004,"eval_loss":5e-324,"#))
        }
    }

    /// The objective's figures, in one order, and marked as an evaluation's.
    @Test func figuresReadBackToTheSameBits() throws {
        try withTemporaryFolder { folder in
            var step = line(1), evaluation = MetricsLine(step: 1, evaluationLoss: 2)
            step.figures = [.accuracy: 0.75, .chosenReward: 0.1 + 0.2, .rewardMargin: -.infinity]
            evaluation.figures = [.divergence: 3]
            let log = try MetricsLog(path: folder + "/m", resumingAfter: nil)
            for line in [step, evaluation] { try log.append(line) }
            #expect(try MetricsLog.read(folder + "/m") == [step, evaluation])
            #expect(
                step.json.hasPrefix(
                    #"{"step":1,"loss":2.5,"chosen_reward":0.30000000000000004,"reward_margin":"-Infinity","#
                        + #""accuracy":0.75,"learning_rate""#))
            #expect(evaluation.json == #"{"step":1,"eval_loss":2.0,"eval_kl":3.0}"#)
        }
    }

    @Test func everyLineIsJSONByItself() throws {
        var full = line(7)
        full.loss = .nan
        let object = try JSONSerialization.jsonObject(with: Data(full.json.utf8)) as? [String: Any]
        #expect(object?["loss"] as? String == "NaN" && object?["step"] as? Int == 7)
        #expect(object?["learning_rate"] as? Double == 1e-05 && object?.count == 4)
    }

    @Test func linesReachTheFileAtOnce() throws {
        try withTemporaryFolder { folder in
            let log = try MetricsLog(path: folder + "/m", resumingAfter: nil)
            try log.append(line(1))
            #expect(try text(of: folder + "/m") == line(1).json + "\n")
        }
    }

    // Resume at the start, in the middle, between lines, at the end, and beyond it.
    @Test(arguments: [0, 4, 5, 10, 99])
    func resumingRepeatsAndLosesNothing(step: Int) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/m"
            let steps = [0, 1, 2, 3, 4, 6, 7, 7, 8, 9, 10]
            let log = try MetricsLog(path: path, resumingAfter: nil)
            for step in steps { try log.append(line(step)) }
            let resumed = try MetricsLog(path: path, resumingAfter: step)
            #expect(resumed.lines == steps.filter { $0 <= step }.map(line))
            for later in steps where later > step { try resumed.append(line(later)) }
            #expect(try MetricsLog.read(path).map(\.step) == steps)
        }
    }

    @Test func aNewRunStartsAfresh() throws {
        try withTemporaryFolder { folder in
            try write("anything", to: folder + "/m")
            #expect(try MetricsLog(path: folder + "/m", resumingAfter: nil).lines.isEmpty)
            #expect(try text(of: folder + "/m").isEmpty)
        }
    }

    @Test func resumingWithoutALogStartsOne() throws {
        try withTemporaryFolder { folder in
            try MetricsLog(path: folder + "/m", resumingAfter: 5).append(line(6))
            #expect(try MetricsLog.read(folder + "/m") == [line(6)])
        }
    }

    /// The last line cut at every byte: it is dropped unless whole, and the next line starts on its own.
    @Test func aTornLastLineIsCutOff() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/m"
            let (first, last) = (line(1).json + "\n", line(2).json + "\n")
            for count in 0...last.utf8.count {
                try write(first + last.prefix(count), to: path)
                let log = try MetricsLog(path: path, resumingAfter: 2)
                #expect(log.lines.count == (count == last.utf8.count ? 2 : 1), "\(count) bytes")
                try log.append(line(3))
                #expect(try MetricsLog.read(path).last == line(3), "\(count) bytes")
            }
            try write(first + "\0\0\0\0\n", to: path)
            #expect(try MetricsLog(path: path, resumingAfter: 9).lines == [line(1)])
        }
    }

    @Test func aDamagedLineInTheMiddleIsAnErrorAndChangesNothing() throws {
        try withTemporaryFolder { folder in
            let content = line(1).json + "\n{\"ste\n" + line(3).json + "\n"
            try write(content, to: folder + "/m")
            let error = #expect(throws: TrainerError.self) {
                try MetricsLog(path: folder + "/m", resumingAfter: 1)
            }
            #expect(error?.kind == .metricsDamaged && error?.problem.hasPrefix("Line 2 of ") == true)
            #expect(try text(of: folder + "/m") == content)
        }
    }

    @Test func anUnwritablePlaceIsAnError() throws {
        try withTemporaryFolder { folder in
            let error = #expect(throws: TrainerError.self) {
                try MetricsLog(path: folder + "/missing/m", resumingAfter: nil)
            }
            #expect(error?.kind == .outputUnwritable)
            #expect(error?.problem.contains("No such file or directory") == true)
        }
    }
}
