/// Where a run begins: what rank 0 finds in the output folder, and all go by.
struct RunBeginning: Codable {
    /// The output folder.
    let path: String
    /// Whether all steps are done.
    let isDone: Bool
    /// What to go on from.
    let checkpoint: RunCheckpoint?
    /// What was found damaged, for people.
    let notes: [String]

    /// - Throws: `TrainerError` (`cannotResume`) if there are checkpoints, but none is whole.
    init(of directory: RunDirectory?, steps: Int) throws {
        guard let directory else { preconditionFailure("rank 0 opens the output folder") }
        path = directory.path
        let final = directory.final()
        isDone = final.step.map { $0 >= steps } ?? false
        let (start, damaged) = isDone ? (nil, []) : try directory.checkpointToResume()
        checkpoint = start
        notes =
            (final.fault.map { ["\(directory.finalPath) is damaged and will be written again: \($0)"] } ?? [])
            + damaged.map { "\($0.checkpoint.path) is damaged and passed over: \($0.fault)" }
    }
}
