extension TrainingRun {
    /// Evaluates, reports, and keeps the model if it is the best so far.
    ///
    /// - Returns: whether `--patience` is at its end.
    func evaluate() throws -> Bool {
        let evaluation = try learner.evaluate()
        var line = MetricsLine(step: learner.stepsDone, evaluationLoss: evaluation.loss)
        line.figures = evaluation.figures
        try report(line)
        // A resumed run's history is rank 0's.
        let isBest = try ranks.told { evaluations.add(line) }
        if isBest, options.keepsBest { try saveBest() }
        let isOver = try isOutOfPatience()
        if isOver {
            display.note("\(patienceEnded), the run ends after step \(Format.integer(learner.stepsDone))")
        }
        return isOver
    }

    /// The metrics, by which a resumed run knows of it, before the model.
    private func saveBest() throws {
        guard let metrics else {
            return try TrainingState.writeModel(learner, into: directory.path, with: ranks)
        }
        try metrics.synchronize()
        try directory.writeBest {
            try TrainingState.writeModel(learner, into: $0, with: ranks)
            try ranks.check()
        }
    }

    /// Whether `--patience` is at its end; all ranks must ask.
    func isOutOfPatience() throws -> Bool {
        try ranks.told { evaluations.isOver(options.course.patience) }
    }

    /// Why the run ended, where patience ended it.
    var patienceEnded: String {
        "\(Format.count(options.course.patience ?? 0, "evaluation")) in a row \(options.course.patience == 1 ? "was" : "were") "
            + "no better than the best"
    }

    /// Says which evaluation was the best, and where its model is.
    func noteBest() {
        guard options.keepsBest, let best = evaluations.best else { return }
        display.note(
            "best    evaluation loss \(Format.decimal(best.loss, places: 4)) after step \(Format.integer(best.step)): "
                + directory.bestPath)
    }
}
