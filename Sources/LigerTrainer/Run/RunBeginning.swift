/// Where a run begins: what rank 0 finds in the output folder, and all go by.
struct RunBeginning: Codable {
    /// The output folder.
    let path: String
    /// Whether nothing is left to do: all steps are done, or patience is at its end.
    let isDone: Bool
    /// The step after which `--patience` ended the run; nil where it did not.
    let endedEarlyAt: Int?
    /// What to go on from.
    let checkpoint: RunCheckpoint?
    /// What was found damaged, for people.
    let notes: [String]

    /// - Throws: `TrainerError` (`cannotResume`) if there are checkpoints, but none is whole.
    init(of directory: RunDirectory?, _ options: TrainingOptions) throws {
        guard let directory else { preconditionFailure("rank 0 opens the output folder") }
        path = directory.path
        let final = directory.final()
        endedEarlyAt = Self.earlyEnd(of: directory, after: final.step, options)
        isDone = endedEarlyAt != nil || final.step.map { $0 >= options.steps } ?? false
        let (start, damaged) = isDone ? (nil, []) : try directory.checkpointToResume()
        checkpoint = start
        notes =
            (final.fault.map { ["\(directory.finalPath) is damaged and will be written again: \($0)"] } ?? [])
            + damaged.map { "\($0.checkpoint.path) is damaged and passed over: \($0.fault)" }
            + (directory.faultOfBest.map {
                [
                    "\(directory.bestPath) is damaged: \($0). It is written again at the next evaluation that is better"
                ]
            } ?? [])
    }

    private static func earlyEnd(
        of directory: RunDirectory, after step: Int?, _ options: TrainingOptions
    ) -> Int? {
        guard let step, step < options.steps, options.course.patience != nil,
            let lines = try? MetricsLog.read(directory.metricsPath)
        else { return nil }
        let history = EvaluationHistory(lines.prefix { $0.step <= step })
        return history.isOver(options.course.patience) ? step : nil
    }
}
