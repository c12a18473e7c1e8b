internal import LigerText

extension TrainingModel {
    /// What writes the conversations of a file; nil where it has none.
    ///
    /// - Throws: `TrainerError` (`dataMalformed`) if the model has no chat template.
    func conversations(in file: ExampleFile, _ options: TrainingOptions) throws -> ConversationWriter? {
        guard file.hasMessages else { return nil }
        throw TrainerError(
            .dataMalformed, "\(file.path) holds conversations, and the model has no chat template.",
            remedy: "Give a file with one by --chat-template, or prompt and completion as strings.")
    }
}
