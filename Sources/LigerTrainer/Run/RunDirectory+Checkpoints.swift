internal import LigerModels
internal import Platform

extension RunDirectory {
    static let partial = ".partial"

    /// The folder for the checkpoint after `step` steps.
    package func checkpointPath(step: Int) -> String {
        let digits = String(step)
        let zeros = String(repeating: "0", count: max(0, 8 - digits.count))
        return FileSystem.join(checkpointsPath, "step-\(zeros)\(digits)")
    }

    /// Complete checkpoints, oldest first, their contents unread.
    package var checkpoints: [RunCheckpoint] {
        namedCheckpoints.filter { CheckpointManifest.fault(in: $0.path, .sizes) == nil }
    }

    /// The newest checkpoint that is whole, and the damaged ones that are newer than it.
    ///
    /// - Cost: reads the checkpoint that is taken, and what comes before the first fault of others.
    package func newestCheckpoint() -> (taken: RunCheckpoint?, damaged: [DamagedCheckpoint]) {
        var damaged: [DamagedCheckpoint] = []
        for checkpoint in namedCheckpoints.reversed() {
            guard let fault = Self.fault(of: checkpoint) else {
                return (checkpoint, damaged)
            }
            damaged.append(DamagedCheckpoint(checkpoint: checkpoint, fault: fault))
        }
        return (nil, damaged)
    }

    /// What is not as it was written; nil when all of it is.
    private static func fault(of checkpoint: RunCheckpoint) -> String? {
        if let fault = CheckpointManifest.fault(in: checkpoint.path, .contents) { return fault }
        if let stranger = CheckpointManifest.stranger(in: checkpoint.path) { return stranger }
        guard let step = TrainingState.step(of: checkpoint.path), step != checkpoint.step else { return nil }
        return "it has another name: it is of step \(step)"
    }

    /// Writes a checkpoint under another name and moves it into place once all of it is on the disk, then
    /// removes the oldest.
    /// - Parameters:
    ///   - step: steps done; all metrics up to it must have been synchronised.
    ///   - keepLast: how many complete checkpoints stay.
    ///   - writeFiles: writes the files into the folder it is given.
    /// - Throws: what `writeFiles` throws, or `TrainerError` (`outputUnwritable`); earlier checkpoints stay.
    package func writeCheckpoint(step: Int, keepLast: Int, writeFiles: (String) throws -> Void) throws {
        precondition(keepLast > 0, "at least the new checkpoint stays")
        try replace(checkpointPath(step: step), writeFiles: writeFiles)
        try Self.reporting {
            // Newer ones can only be damaged, or this one would not have been written: they must not count.
            for old in checkpoints.filter({ $0.step <= step }).dropLast(keepLast) {
                // A process killed while removing must not leave half a checkpoint under its name.
                let leaving = old.path + Self.partial
                try FileSystem.rename(old.path, to: leaving)
                try FileSystem.remove(leaving)
            }
        }
    }

    /// Writes the trained model, in the same way.
    package func writeFinal(writeFiles: (String) throws -> Void) throws {
        try replace(finalPath, writeFiles: writeFiles)
    }

    /// Writes the model of the best evaluation so far, in the same way.
    package func writeBest(writeFiles: (String) throws -> Void) throws {
        try replace(bestPath, writeFiles: writeFiles)
    }

    /// Removes what a stopped process left half written or half removed.
    func removeLeftovers() throws {
        for folder in [path, checkpointsPath] {
            PartialName.removeStale(in: URL(literalPath: folder))
            for name in try FileSystem.names(in: folder) where name.hasSuffix(Self.partial) {
                try FileSystem.remove(FileSystem.join(folder, name))
            }
        }
    }

    private var namedCheckpoints: [RunCheckpoint] {
        let names = (try? FileSystem.names(in: checkpointsPath)) ?? []
        let found = names.compactMap { name -> RunCheckpoint? in
            guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0 else { return nil }
            let path = FileSystem.join(checkpointsPath, name)
            return path == checkpointPath(step: step) ? RunCheckpoint(step: step, path: path) : nil
        }
        return found.sorted { $0.step < $1.step }
    }

    private func replace(_ folder: String, writeFiles: (String) throws -> Void) throws {
        try Self.reporting {
            try AtomicDirectory.write(to: URL(literalPath: folder), replacing: true) { partial in
                try writeFiles(partial.path)
                try CheckpointManifest.seal(partial.path)
            }
        }
    }
}
