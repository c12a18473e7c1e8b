internal import LigerModels

extension RunDirectory {
    /// The folder for a run: `--out`, or next to it when that holds another run and `--new-if-different`
    /// allows to move on to OUT-2, OUT-3 and so on.
    /// - Throws: as `init`.
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
        return try RunDirectory(path: path, record: record, resume: options.resume)
    }

    /// Steps that the final model was trained for; nil when there is no complete one.
    package var finishedStep: Int? {
        CheckpointManifest.fault(in: finalPath) == nil ? TrainingState.step(of: finalPath) : nil
    }

    /// The newest complete checkpoint; nil to start at step 0.
    /// - Throws: `TrainerError` (`cannotResume`) when there are checkpoints, but none is complete: starting
    ///   again would overwrite what may be repaired.
    package func checkpointToResume() throws -> RunCheckpoint? {
        if let newest = newestCheckpoint { return newest }
        guard let (checkpoint, fault) = damagedCheckpoints.last else { return nil }
        throw TrainerError(
            .cannotResume,
            "No checkpoint in \(checkpointsPath) is complete; the last, \(checkpoint.path), "
                + "is damaged: \(fault).",
            remedy: "Repair it, or choose another --out to start again.")
    }

    /// Damaged checkpoints that would have been newer than the one taken.
    package func passedOver(by taken: RunCheckpoint?) -> [(checkpoint: RunCheckpoint, fault: String)] {
        damagedCheckpoints.filter { $0.checkpoint.step > taken?.step ?? -1 }
    }

    /// Replaces the picture of the loss.
    /// - Throws: `TrainerError` (`outputUnwritable`).
    package func writeLossCurve(_ svg: String) throws {
        try Self.reporting { try AtomicFile.write(svg, to: lossCurvePath) }
    }
}
