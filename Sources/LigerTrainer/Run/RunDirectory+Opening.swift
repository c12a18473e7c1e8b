internal import LigerModels

extension RunDirectory {
    /// The folder for a run, which no other process writes to until this value is gone: `--out`, or next to it when that holds another run and `--new-if-different`
    /// allows to move on to OUT-2, OUT-3 and so on.
    /// - Throws: as `init` and `RunLock`.
    package static func open(_ record: RunRecord) throws -> RunDirectory {
        let options = record.options
        var path = options.out
        var number = 1
        while options.newIfDifferent, let earlier = try? Self.record(at: path),
            !record.differences(from: earlier).isEmpty
        {
            number += 1
            path = "\(options.out)-\(number)"
        }
        let lock = try RunLock.take(path)
        var directory = try RunDirectory(path: path, record: record, resume: options.resume)
        directory.lock = lock
        return directory
    }

    /// The final model: the steps it was trained for, if it is whole; else what is wrong with it, if there is one.
    package func final() -> (step: Int?, fault: String?) {
        guard FileSystem.kind(of: finalPath) != nil else { return (nil, nil) }
        if let fault = CheckpointManifest.fault(in: finalPath, .contents) { return (nil, fault) }
        return (TrainingState.step(of: finalPath), nil)
    }

    /// What is wrong with the best model; nil if it is whole, or there is none.
    var faultOfBest: String? {
        FileSystem.kind(of: bestPath) == nil ? nil : CheckpointManifest.fault(in: bestPath, .contents)
    }

    /// Where to go on: the newest whole checkpoint, or nil to start at step 0; and the damaged ones passed over.
    /// - Throws: `TrainerError` (`cannotResume`) when there are checkpoints, but none is whole: starting
    ///   again would overwrite what may be repaired.
    package func checkpointToResume() throws -> (taken: RunCheckpoint?, damaged: [DamagedCheckpoint]) {
        let newest = newestCheckpoint()
        guard newest.taken == nil, let last = newest.damaged.first else { return newest }
        throw TrainerError(
            .cannotResume,
            "No checkpoint in \(checkpointsPath) is complete; the last, \(last.checkpoint.path), "
                + "is damaged: \(last.fault).",
            remedy: "Repair it, or choose another --out to start again.")
    }

    /// The folders of models in a run, the best to ask first: the final one, then checkpoints from the newest on. Only
    /// those of which all was written.
    package static func models(in path: String) -> [String] {
        let directory = RunDirectory(reading: path)
        let final = directory.finalPath
        let isFinal = CheckpointManifest.fault(in: final, .sizes) == nil
        return (isFinal ? [final] : []) + directory.checkpoints.reversed().map(\.path)
    }

    /// `--seq` of the run that a model is from: `path` is the run, or its final model or a checkpoint of it. Nil for others.
    package static func sequenceLength(ofModel path: String) -> Int? {
        var folder = path
        while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
        for place in [folder, folder + "/..", folder + "/../.."] {
            if let record = try? record(at: place) { return record.options.sequenceLength }
        }
        return nil
    }

    /// Replaces the picture of the loss.
    /// - Throws: `TrainerError` (`outputUnwritable`).
    package func writeLossCurve(_ svg: String) throws {
        try Self.reporting { try AtomicFile.write(svg, to: lossCurvePath) }
    }
}
