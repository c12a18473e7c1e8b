internal import ArgumentParser
internal import LigerRuntime
internal import LigerTrainer
internal import Tile

/// Which trained model a command asks.
struct ModelArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            """
            A run's --out, of which the final model or else the newest checkpoint is taken; a folder in Hugging Face \
            layout; or an adapter's folder.
            """, valueName: "model"))
    var model: String

    @Option(help: ArgumentHelp("An adapter to put on the model.", valueName: "folder"))
    var adapter: String?

    @Option(
        help: ArgumentHelp(
            "The weights that an adapter belongs to. (default: those that it names)", valueName: "folder"))
    var base: String?

    @Option(
        help: ArgumentHelp(
            "How weights and activations are stored. (default: as in the model's files)",
            valueName: "f32|bf16|f16"))
    var dtype: StorageType?

    @Option(
        help: ArgumentHelp(
            "Where it runs: cpu, cuda or hip for the first GPU of NVIDIA's or AMD's, or cuda:1 and so on.",
            valueName: "cpu|cuda[:n]|hip[:n]"))
    var device = TrainingOptions.Device.cpu

    /// Where it is.
    func location() throws -> LoadedModel.Location {
        let location = try LoadedModel.Location(model, adapter: adapter, base: base)
        if let doubt = try location.doubt { warn(doubt) }
        return location
    }

    /// Loads it.
    func load() throws -> LoadedModel {
        let model = try LoadedModel(
            model, adapter: adapter, base: base, dtype: dtype?.dtype, device: device.open())
        if let doubt = try model.location.doubt { warn(doubt) }
        return model
    }
}
