internal import LigerModels
internal import Platform

/// A run's output folder.
///
///     run.json                      every option, the text's fingerprint
///     metrics.jsonl                 a line per step and evaluation
///     loss.svg                      the loss curve
///     checkpoints/step-00000100/    model and optimiser after 100 steps, with a manifest
///     best/                         the model of the best evaluation, if that is kept
///     final/                        the trained model
///     events.out.tfevents...        metrics.jsonl for TensorBoard
///     .lock                         the process that writes here, as long as it does
package struct RunDirectory: Sendable {
    package let path: String
    /// Keeps others from writing here.
    var lock: RunLock?

    package var recordPath: String { FileSystem.join(path, "run.json") }
    package var metricsPath: String { FileSystem.join(path, "metrics.jsonl") }
    package var lossCurvePath: String { FileSystem.join(path, "loss.svg") }
    package var checkpointsPath: String { FileSystem.join(path, "checkpoints") }
    package var finalPath: String { FileSystem.join(path, "final") }
    package var bestPath: String { FileSystem.join(path, "best") }

    /// Whether a folder holds a run.
    package static func isRun(_ path: String) -> Bool { (try? record(at: path)) != nil }

    /// A folder that is only read, or that another process has opened.
    init(reading path: String) { self.path = path }

    /// Prepares the folder for a new run, or for going on with the one it holds.
    ///
    /// Nothing that an earlier run left is changed unless `record` continues it.
    /// - Throws: `TrainerError`: `outputUnwritable`; `outputInUse` when the folder holds a run and
    ///   `resume` is not set, or files of others by our names; `cannotResume` when the run there differs,
    ///   with every difference.
    package init(path: String, record: RunRecord, resume: Bool) throws {
        self.path = path
        if FileSystem.kind(of: path) != nil {
            try checkEarlierRun(record, resume: resume)
        }
        try Self.reporting {
            // The record first: who is killed behind it finds a run to go on with, not a stranger's folder.
            try FileSystem.createFolder(path)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            let text = String(decoding: try encoder.encode(record), as: UTF8.self)
            try AtomicFile.write(text + "\n", to: recordPath)
            try FileSystem.createFolder(checkpointsPath)
            try removeLeftovers()
        }
    }

    private func checkEarlierRun(_ record: RunRecord, resume: Bool) throws {
        guard FileSystem.kind(of: path) == .folder else {
            throw TrainerError(
                .outputUnwritable, "--out \(path) is not a folder.", remedy: "Choose another --out.")
        }
        guard FileSystem.kind(of: recordPath) != nil else { return try checkStrangers() }
        let earlier = try Self.record(at: path)
        let differences = record.differences(from: earlier)
        if resume {
            guard !differences.isEmpty else { return }
            throw Self.cannotGoOn(path, differences)
        }
        // A run that stopped before its first step has nothing to lose.
        if differences.isEmpty && holdsNothing { return }
        let which = differences.isEmpty ? "a run with the same options" : "another run"
        throw TrainerError(
            .outputInUse,
            "--out \(path) holds \(which)" + (differences.isEmpty ? "." : ":\n")
                + differences.map { "  \($0)\n" }.joined(),
            remedy: differences.isEmpty
                ? "Go on with it by --resume, or choose another --out." : "Choose another --out.")
    }

    private static func cannotGoOn(_ path: String, _ differences: [String]) -> TrainerError {
        TrainerError(
            .cannotResume,
            "The run in \(path) cannot go on with these options:\n"
                + differences.map { "  \($0)\n" }.joined(),
            remedy: "Give the earlier values, or another --out for a new run.")
    }

    /// Refuses to go on with a run by other options, before its data is read.
    ///
    /// - Throws: `TrainerError` (`cannotResume`) with the options that differ.
    static func checkResuming(_ options: TrainingOptions) throws {
        guard options.resume, !options.newIfDifferent, let earlier = try? record(at: options.out) else {
            return
        }
        let differences = options.differencesBeforeData(from: earlier.options)
        if !differences.isEmpty { throw cannotGoOn(options.out, differences.map(\.description)) }
    }

    private var holdsNothing: Bool {
        (FileSystem.byteCount(of: metricsPath) ?? 0) == 0 && checkpoints.isEmpty
            && FileSystem.kind(of: finalPath) == nil
    }

    /// A folder that is no run may hold anything but our names.
    private func checkStrangers() throws {
        for taken in [metricsPath, lossCurvePath, checkpointsPath, finalPath, bestPath]
        where FileSystem.kind(of: taken, followingLinks: false) != nil {
            throw TrainerError(
                .outputInUse, "--out \(path) has no run.json, yet \(taken) exists and would be overwritten.",
                remedy: "Choose another --out, or move that away.")
        }
    }

    /// The record in a run's folder.
    package static func record(at path: String) throws -> RunRecord {
        let file = FileSystem.join(path, "run.json")
        let record: RunRecord
        do {
            record = try JSONDecoder().decode(RunRecord.self, from: Data(FileSystem.read(file)))
        } catch {
            let reason = (error as? FileSystem.Failure)?.reason ?? "it is not a record of a run"
            throw TrainerError(
                .cannotResume, "Cannot read \(file): \(reason).", remedy: "Choose another --out.")
        }
        guard record.formatVersion == 1 else {
            throw TrainerError(
                .cannotResume, "\(file) has format \(record.formatVersion); this program reads format 1.",
                remedy: "Use the program that wrote it, or choose another --out.")
        }
        return record
    }

    /// Runs `body`, whose failures to write become errors about `--out`.
    static func reporting(_ body: () throws -> Void) throws {
        try reporting(body) { path, reason in
            TrainerError(
                .outputUnwritable, "Cannot write \(path): \(reason).",
                remedy: "Choose another --out, or make room and give permission there.")
        }
    }

    /// Runs `body`, whose failures to write become errors that `unwritable` makes of path and reason; others pass.
    static func reporting(
        _ body: () throws -> Void, _ unwritable: (_ path: String, _ reason: String) -> TrainerError
    ) throws {
        do {
            try body()
        } catch let failure as FileSystem.Failure {
            throw unwritable(failure.path, failure.reason)
        } catch let error as CheckpointError {
            throw unwritable(error.file, error.problems[0].found)
        }
    }
}
