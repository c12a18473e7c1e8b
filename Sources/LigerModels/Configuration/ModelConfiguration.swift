package import LigerNN
public import Platform
package import Tile

/// What `config.json` says about a model: its architecture, with the sizes and constants that, with the weights,
/// are the model.
///
/// Read from and written to Hugging Face's format. What is not supported is refused by name, because a
/// model that ignores part of its configuration computes something else without a word.
@dynamicMemberLookup
public struct ModelConfiguration: Sendable, Hashable {
    /// The name of the file in a checkpoint's folder.
    public static let fileName = "config.json"

    /// The family, with its values.
    package var architecture: any Architecture

    /// `validate` says whether it is sound.
    package init(_ architecture: any Architecture) { self.architecture = architecture }

    /// Reads `config.json` in `folder`. Throws one `CheckpointError` with every problem.
    public init(folder: URL) throws {
        let path = folder.appendingPathComponent(Self.fileName).path
        try self.init(parsing: try ReadOnlyFile.contents(of: path, limit: 10_000_000), file: path)
    }

    /// The `model_type`.
    public var modelType: String { type(of: architecture).modelType }

    /// What decoders of all architectures have.
    public subscript<Value>(dynamicMember path: WritableKeyPath<DecoderConfiguration, Value>) -> Value {
        get { architecture.decoder[keyPath: path] }
        set { architecture.decoder[keyPath: path] = newValue }
    }

    /// What follows from it.
    public subscript<Value>(dynamicMember path: KeyPath<DecoderConfiguration, Value>) -> Value {
        architecture.decoder[keyPath: path]
    }

    public static func == (a: Self, b: Self) -> Bool { a.architecture.isEqual(to: b.architecture) }
    public func hash(into hasher: inout Hasher) { architecture.hash(into: &hasher) }

    /// The model's layers, without memory: names and shapes of all weights, in the model's order.
    package func layers() -> Decoder {
        let scope = ParameterScope(
            dtype: architecture.decoder.dtype ?? .f32,
            deviation: Float(architecture.decoder.initializerRange))
        return architecture.layers(scope)
    }

    /// The same model with its weights in another type.
    package func stored(as dtype: DType) -> ModelConfiguration {
        var copy = self
        copy.dtype = dtype
        return copy
    }

    /// The number of trained numbers; a tied head counts once. `Int.max` where it is beyond that.
    public var parameterCount: Int { layers().parameterCount }
}
