package import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import Platform
internal import Tile

/// What a checkpoint's folder holds: the model in Hugging Face layout, and what only training
/// needs.
///
///     config.json, model.safetensors, tokenizer files      as transformers loads them
///     optimizer.safetensors                                AdamW's moments and master weights
///     trainer.json                                         steps done
package enum TrainingState {
    private static let optimiserFile = "optimizer.safetensors"
    private static let progressFile = "trainer.json"

    private struct Progress: Codable {
        let step: Int
    }

    /// Writes everything that resuming needs. All of a team call it, and write their shares.
    ///
    /// - Parameters:
    ///   - folder: read on rank 0 alone.
    ///   - team: the learner's ranks.
    package static func writeCheckpoint(
        _ learner: Learner, into folder: String, with team: any FileTeam
    ) throws {
        try writeModel(learner, into: folder, with: team)
        let url = URL(literalPath: FileSystem.join(folder, optimiserFile))
        let contents = learner.optimiser.savedArrays.map {
            TensorContent(
                $0.name, HeldArray($0.array, part: $0.parts?[learner.ranks.rank]), shape: $0.shape, in: url,
                with: team)
        }
        try SafetensorsWriter.write(contents, to: url, with: team)
    }

    /// Writes the model alone, in the same way.
    package static func writeModel(
        _ learner: Learner, into folder: String, with team: any FileTeam
    ) throws {
        try learner.model.write(into: folder, with: team)
        guard team.isFirst else { return }
        let progress = try JSONEncoder().encode(Progress(step: learner.stepsDone))
        try AtomicFile.write(
            String(decoding: progress, as: UTF8.self) + "\n", to: FileSystem.join(folder, progressFile))
    }

    /// Steps that the model in a folder was trained for; nil when the folder does not say.
    package static func step(of folder: String) -> Int? {
        guard let bytes = try? FileSystem.read(FileSystem.join(folder, progressFile)) else { return nil }
        return (try? JSONDecoder().decode(Progress.self, from: Data(bytes)))?.step
    }

    /// Sets a learner to where a checkpoint was written.
    /// - Throws: `CheckpointError` when a tensor is missing, damaged, or of another shape or type; the
    ///   learner must not be used then.
    package static func read(_ checkpoint: RunCheckpoint, into learner: Learner) throws {
        try learner.model.readWeights(from: checkpoint.path)
        let path = FileSystem.join(checkpoint.path, optimiserFile)
        let file = try SafetensorsFile(url: URL(literalPath: path))
        for saved in learner.optimiser.savedArrays.sorted(by: { $0.name < $1.name }) {
            let entry = try file.entry(of: saved.name)
            guard entry.shape == saved.shape, entry.dtype == saved.array.dtype else {
                throw CheckpointError(
                    path, "tensor '\(saved.name)'",
                    found: "\(entry.storedType.rawValue) of shape \(entry.shape)",
                    expected: "\(StoredType(saved.array.dtype).rawValue) of shape \(saved.shape)",
                    advice: "Resume with the options of the run that wrote it, or remove this checkpoint's "
                        + "folder to go on from the one before.")
            }
            let first = saved.parts.map { $0[learner.ranks.rank].lowerBound } ?? 0
            try file.read(saved.name, from: first, into: saved.array)
        }
        learner.optimiser.steps = checkpoint.step
    }
}
