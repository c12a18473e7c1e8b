package import LigerNN
import LigerRuntime
import LigerText
package import Platform
import Tile

/// An adapter in PEFT's files: `adapter_config.json` and `adapter_model.safetensors`. Opening reads the first, and the
/// header of the second.
package struct AdapterFolder {
    /// The name of the weights' file.
    package static let weightsName = "adapter_model.safetensors"
    private static let prefix = AdapterLayers.prefix

    package let url: URL
    /// Targets are the names of the layers that have tensors.
    package let options: LowRankOptions
    /// The model that was adapted, as whoever saved it named it.
    package let base: String?
    private let file: SafetensorsFile

    /// Whether a folder holds an adapter.
    package static func isAdapter(_ url: URL) -> Bool {
        FileManager.default.fileExists(
            atPath: url.appendingPathComponent(AdapterConfiguration.fileName).path)
    }

    /// - Throws: `CheckpointError` for anything in the files that is not sound or not supported.
    package init(url: URL) throws {
        let configuration = try AdapterConfiguration(folder: url)
        self.url = url
        base = configuration.base
        let weights = url.appendingPathComponent(Self.weightsName)
        guard FileManager.default.fileExists(atPath: weights.path) else {
            throw CheckpointError(
                url.path, "the adapter", found: "no \(Self.weightsName)", expected: "one",
                advice: "Load it with PEFT, and save it with save_pretrained.")
        }
        file = try SafetensorsFile(url: weights)
        var options = configuration.options
        options.targets = .named(
            try AdapterLayers(of: file.tensors.keys, configuration, in: file.path).names)
        self.options = options
    }

    /// Checks that the tensors are exactly those of a decoder that was adapted by `options`, without reading any.
    ///
    /// - Throws: one `CheckpointError` with every tensor that is missing, has another shape, is not of a
    ///   floating-point type, or has no place.
    package func requireTensors(of adapters: DecoderAdapters) throws {
        let places = Dictionary(
            uniqueKeysWithValues: adapters.parameters.map { (Self.prefix + $0.name, $0) })
        var problems: [CheckpointError.Problem] = []
        for (name, parameter) in places.sorted(by: { $0.key < $1.key }) {
            let entry = file.tensors[name]
            if let entry, entry.shape == parameter.shape, entry.dtype?.isFloat == true { continue }
            problems.append(
                .init(
                    "tensor \(name.quoted)",
                    found: entry.map { "\($0.storedType.rawValue) of shape \($0.shape)" } ?? "no such tensor",
                    expected: "F32, BF16 or F16 of shape \(parameter.shape)",
                    advice: "The adapter is damaged or another model's: its base is \(base ?? "not named")."))
        }
        for name in file.tensors.keys.sorted() where places[name] == nil {
            problems.append(
                .init(
                    "tensor \(name.quoted)", found: "a tensor without a place",
                    expected: "only factors that adapter_config.json implies",
                    advice: "Merge the adapter into its base with PEFT's merge_and_unload."))
        }
        if !problems.isEmpty { throw CheckpointError(file: file.path, problems: problems) }
    }

    /// Reads all tensors into a decoder's adapters.
    ///
    /// - Parameter isOwn: whether they must be stored in the parameters' type, as those of a checkpoint are.
    /// - Throws: as `requireTensors`; `CheckpointError` for a number that is none.
    package func read(into adapters: DecoderAdapters, isOwn: Bool = false) throws {
        try requireTensors(of: adapters)
        for parameter in adapters.parameters {
            let name = Self.prefix + parameter.name
            let stored = try file.entry(of: name).dtype
            if isOwn, stored != parameter.dtype {
                throw CheckpointError(
                    file.path, "tensor \(name.quoted)", found: stored?.rawValue ?? "another type",
                    expected: parameter.dtype.rawValue,
                    advice:
                        "Somebody changed the file; remove this checkpoint's folder to resume from the one "
                        + "before.")
            }
            try parameter.set { try file.read(name, into: $0, requiringNumbers: true) }
        }
    }

    /// Writes both files into an existing folder, as PEFT would, in the parameters' types.
    ///
    /// - Parameter team: those that write weights together; all call this, and the first writes the rest.
    package static func write(
        _ adapters: DecoderAdapters, base: String?, into folder: URL,
        with team: any FileTeam = LoneWriter()
    ) throws {
        let url = folder.appendingPathComponent(weightsName)
        let contents = adapters.parameters.map { parameter in
            TensorContent(
                prefix + parameter.name, HeldArray(parameter), shape: parameter.shape, in: url, with: team)
        }
        try SafetensorsWriter.write(contents, to: url, with: team)
        guard team.isFirst else { return }
        var configuration = AdapterConfiguration(adapters.options, base: base)
        configuration.parameters =
            adapters.routers.map { $0 + ".weight" }.sorted() + adapters.experts.map(\.name)
        let text = configuration.serialized(
            layers: adapters.all.map(\.name).filter { !adapters.routers.contains($0) })
        try AtomicFile.write(text, to: folder.appendingPathComponent(AdapterConfiguration.fileName))
    }
}
