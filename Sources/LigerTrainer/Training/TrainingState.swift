internal import LigerModels
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

    /// Writes everything that resuming needs.
    package static func writeCheckpoint(_ learner: Learner, into folder: String) throws {
        try writeModel(learner, into: folder)
        let arrays = learner.optimiser.state.sorted { $0.key < $1.key }
        let url = URL(fileURLWithPath: FileSystem.join(folder, optimiserFile))
        try SafetensorsWriter.write(arrays.map { TensorContent($0.key, $0.value, in: url) }, to: url)
    }

    /// Writes the model alone.
    package static func writeModel(_ learner: Learner, into folder: String) throws {
        try learner.model.write(into: folder)
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
        let file = try SafetensorsFile(url: URL(fileURLWithPath: path))
        for (name, array) in learner.optimiser.state.sorted(by: { $0.key < $1.key }) {
            let entry = try file.entry(of: name)
            guard entry.shape == array.shape, entry.dtype == array.dtype else {
                throw CheckpointError(
                    path, "tensor '\(name)'",
                    found: "\(entry.storedType.rawValue) of shape \(entry.shape)",
                    expected: "\(StoredType(array.dtype).rawValue) of shape \(array.shape)",
                    advice: "Resume with the options of the run that wrote it, or remove this checkpoint's "
                        + "folder to go on from the one before.")
            }
            try file.read(name, into: array)
        }
        learner.optimiser.steps = checkpoint.step
    }
}
