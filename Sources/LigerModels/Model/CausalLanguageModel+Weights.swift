import LigerNN
import LigerRuntime
public import Platform
public import Tile

extension CausalLanguageModel {
    /// Sets all weights in place to those of a checkpoint, rounded once, to nearest, where it stores another
    /// type. This takes a few megabytes, on whichever device the weights are.
    ///
    /// - Throws: one `CheckpointError` with every weight that is missing, has another shape or no floating-point
    ///   type, or has no place in this model; the first weight that is infinite or no number somewhere, or, for f16,
    ///   beyond its range.
    public func loadWeights(from checkpoint: Checkpoint) throws {
        let checkpoint = checkpoint.placed(in: decoder)
        try checkpoint.requireWeights(of: configuration)
        for parameter in decoder.parameters {
            try parameter.set { value in
                for piece in parameter.stored {
                    try checkpoint.read(piece.name, into: piece.of(value), requiringNumbers: true)
                }
            }
        }
    }

    /// Writes the model as the new folder `url`, which transformers loads as it is: `config.json`, weights
    /// in one file or in shards, and `companions`. The folder appears complete or not at all.
    ///
    /// - Parameters:
    ///   - url: a folder that does not exist, unless it is replaced.
    ///   - replacing: whether an existing folder may give way; it is refused else.
    ///   - dtype: what weights are stored in; the model's own by default. Others are rounded once.
    ///   - maximumShardByteCount: above it weights are cut into several files.
    /// - Throws: `CheckpointError`; nothing is left behind then.
    public func save(
        to url: URL, replacing: Bool = false, dtype: DType? = nil,
        maximumShardByteCount: Int = Checkpoint.standardShardByteCount
    ) throws {
        try AtomicDirectory.write(to: url, replacing: replacing) { folder in
            try write(into: folder, dtype: dtype, maximumShardByteCount: maximumShardByteCount)
        }
    }

    /// Writes the same files into an existing folder, as `Checkpoint.write`.
    ///
    /// - Parameter team: those that write weights together; all call this.
    package func write(
        into folder: URL, dtype: DType? = nil,
        maximumShardByteCount: Int = Checkpoint.standardShardByteCount,
        with team: any FileTeam = LoneWriter()
    ) throws {
        let dtype = dtype ?? self.dtype
        let contents = decoder.parameters.flatMap { parameter in
            parameter.stored.map {
                TensorContent(
                    $0.name, HeldArray(parameter), elements: $0.elements, shape: $0.shape, storedAs: dtype,
                    in: folder, with: team)
            }
        }
        try Checkpoint.write(
            contents, configuration: configuration.stored(as: dtype), others: companions, into: folder,
            maximumShardByteCount: maximumShardByteCount, with: team)
    }
}
