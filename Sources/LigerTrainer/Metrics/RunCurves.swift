internal import Platform

/// What several runs came to, to be compared: losses of training and evaluation, and speed.
package struct RunCurves: Sendable {
    /// A run, by its metrics.
    package struct Run: Sendable {
        /// `--name`, or the folder.
        package let name: String
        package let lines: [MetricsLine]

        package init(name: String, lines: [MetricsLine]) { (self.name, self.lines) = (name, lines) }

        /// The evaluation with the least loss.
        package var best: (step: Int, loss: Double)? { EvaluationHistory(lines).best }
        /// The last loss of training.
        var lastLoss: Double? { lines.last { $0.loss != nil }?.loss }
        /// The median of the steps' speeds.
        var speed: Double? {
            let speeds = lines.compactMap(\.tokensPerSecond).filter(\.isFinite).sorted()
            return speeds.isEmpty ? nil : speeds[speeds.count / 2]
        }
    }

    /// The most runs of a picture: colours must be told apart.
    package static let mostRuns = 8

    package let runs: [Run]

    /// - Parameter runs: from 1 to `mostRuns`.
    package init(_ runs: [Run]) {
        precondition(!runs.isEmpty && runs.count <= Self.mostRuns, "a picture has 1 to \(Self.mostRuns) runs")
        self.runs = runs
    }

    /// The runs in some folders, in their order.
    ///
    /// - Throws: `TrainerError`: `dataNotFound` if one is no run, `metricsDamaged`, `invalidOptions` if they are too many.
    package init(folders: [String]) throws {
        guard folders.count <= Self.mostRuns else {
            throw TrainerError(
                .invalidOptions,
                "\(folders.count) runs are given, and a picture has \(Self.mostRuns) at most.",
                remedy: "Give fewer.")
        }
        self.init(try folders.map(Self.run))
    }

    private static func run(in folder: String) throws -> Run {
        let directory = RunDirectory(reading: folder)
        guard let record = try? RunDirectory.record(at: folder),
            FileSystem.kind(of: directory.metricsPath) != nil
        else {
            throw TrainerError(
                .dataNotFound, "\(folder) holds no run: there is no run.json with a metrics.jsonl.",
                remedy: "Give the --out of a run.")
        }
        return Run(
            name: record.options.course.name ?? folder, lines: try MetricsLog.read(directory.metricsPath))
    }
}

extension RunCurves {
    /// One of the things that are drawn over the steps.
    struct Quantity {
        let title: String
        /// Whether the running mean is drawn, not each step.
        let isSmoothed: Bool
        let value: @Sendable (MetricsLine) -> Double?

        static let all = [
            Quantity(title: "training loss", isSmoothed: true) { $0.loss },
            Quantity(title: "evaluation loss", isSmoothed: false) { $0.evaluationLoss },
            Quantity(title: "tokens/s", isSmoothed: true) { $0.tokensPerSecond },
        ]

        /// What is drawn of a run.
        func points(of run: Run) -> [LossCurve.Point] {
            let all = run.lines.compactMap { line in
                value(line).map { LossCurve.Point(step: line.step, loss: $0) }
            }
            let points = LossCurve.thinned(all)
            return isSmoothed ? LossCurve.smoothed(points) : points
        }
    }

    /// A row for each run, with its training loss as a line of blocks.
    package var table: String {
        var table = Table([
            .text("run"), .number("steps"), .number("loss"), .number("best evaluation"), .number("at step"),
            .number("tokens/s"), .text("training loss"),
        ])
        let curves = runs.map(Quantity.all[0].points)
        let losses = curves.flatMap { $0.map(\.loss) }
        for (run, points) in zip(runs, curves) {
            table.add([
                run.name, Format.integer(run.lines.last?.step ?? 0),
                run.lastLoss.map { Format.decimal($0, places: 4) } ?? "-",
                run.best.map { Format.decimal($0.loss, places: 4) } ?? "-",
                run.best.map { Format.integer($0.step) } ?? "-",
                run.speed.map { Format.decimal($0, places: 0) } ?? "-",
                Self.blocks(points.map(\.loss), from: losses.min() ?? 0, to: losses.max() ?? 1),
            ])
        }
        return table.plain
    }

    /// Values as blocks of eight heights, all runs on one scale.
    static func blocks(_ values: [Double], from low: Double, to high: Double, width: Int = 24) -> String {
        let heights = Array("▁▂▃▄▅▆▇█")
        let count = min(width, values.count)
        return String(
            (0..<count).map { column in
                let part = values[column * values.count / count..<(column + 1) * values.count / count]
                let mean = part.reduce(0, +) / Double(part.count)
                let share = high > low ? (mean - low) / (high - low) : 0
                return heights[min(7, max(0, Int(share * 8)))]
            })
    }
}
