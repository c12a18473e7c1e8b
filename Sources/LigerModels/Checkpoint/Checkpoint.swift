import LigerText
public import Platform

/// The weights of a model in Hugging Face layout: a folder with `model.safetensors`, or with shards and
/// `model.safetensors.index.json`. Which of the two makes no difference to the caller.
public struct Checkpoint: Sendable {
    /// The name of the weights when they are one file.
    static let singleFileName = "model.safetensors"

    /// The folder.
    public let url: URL
    /// Every tensor by name, over all shards.
    public private(set) var tensors: [String: TensorEntry]

    private let files: [String: SafetensorsFile]
    private let fileOfTensor: [String: String]
    /// What a tensor is called in its file, where that is another name.
    private var storedNames: [String: String] = [:]

    /// Opens the folder at `url` and checks every header in it; no weights are read yet.
    ///
    /// Throws `CheckpointError` when there are no weights or two sets of them, a shard is missing or
    /// damaged, or the index and the shards disagree: a tensor listed but absent, stored but not listed,
    /// or stored twice.
    public init(url: URL) throws {
        self.url = url
        let files: [String: SafetensorsFile]
        let shards: [String: String]
        switch try Self.contents(of: url) {
        case .single:
            let file = try SafetensorsFile(url: url.appendingPathComponent(Self.singleFileName))
            files = [Self.singleFileName: file]
            shards = file.tensors.mapValues { _ in Self.singleFileName }
        case .sharded(let index):
            files = try Self.openShards(of: index, in: url)
            shards = index.shards
            try Self.checkAgreement(of: index, with: files, folder: url)
        }
        self.files = files
        fileOfTensor = shards
        tensors = files.values.reduce(into: [:]) { all, file in
            all.merge(file.tensors) { first, _ in first }
        }
    }

    /// Names of all tensors in the order of their UTF-8 bytes.
    public var names: [String] {
        tensors.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The description of a tensor; throws as `SafetensorsFile.entry(of:)` does.
    public func entry(of name: String) throws -> TensorEntry {
        try file(of: name).entry(of: stored(name))
    }

    /// Calls `body` with all bytes of a tensor, valid until it returns; memory of the tensor's size.
    public func withBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        try file(of: name).withBytes(of: stored(name), body)
    }

    /// Fills `destination` with a tensor's bytes from `offset` on, within the tensor.
    public func read(
        _ name: String, from offset: Int = 0, into destination: UnsafeMutableRawBufferPointer
    ) throws {
        try file(of: name).read(stored(name), from: offset, into: destination)
    }

    private func stored(_ name: String) -> String { storedNames[name] ?? name }

    /// The same tensors by the names that they have in a model with a head, where the file is of one without: transformers
    /// leaves out the prefix there, as in the published GPT-2.
    ///
    /// - Parameter prefix: of all tensors but the head's, with its dot.
    func under(_ prefix: String) -> Checkpoint {
        if tensors.keys.contains(where: { $0.hasPrefix(prefix) }) { return self }
        var copy = self
        (copy.tensors, copy.storedNames) = ([:], [:])
        for (name, entry) in tensors {
            let full = name == Self.headName ? name : prefix + name
            copy.tensors[full] = entry
            copy.storedNames[full] = stored(name)
        }
        return copy
    }

    private func file(of name: String) throws -> SafetensorsFile {
        guard let shard = fileOfTensor[stored(name)], let file = files[shard] else {
            throw CheckpointError(
                url.path, "tensor \(name.quoted)", found: "no tensor of this name",
                expected: "one", advice: "Check that the checkpoint belongs to this model.")
        }
        return file
    }
}

extension Checkpoint {
    private enum Contents {
        case single
        case sharded(CheckpointIndex)
    }

    private static func contents(of url: URL) throws -> Contents {
        let manager = FileManager.default
        let indexPath = url.appendingPathComponent(CheckpointIndex.fileName).path
        let hasSingle = manager.fileExists(atPath: url.appendingPathComponent(singleFileName).path)
        guard manager.fileExists(atPath: indexPath) else {
            if hasSingle { return .single }
            throw CheckpointError(
                url.path, "the weights", found: "no \(singleFileName) and no \(CheckpointIndex.fileName)",
                expected: "one of them",
                advice:
                    "Name a folder in Hugging Face layout; convert pytorch_model.bin with save_pretrained.")
        }
        let index = try CheckpointIndex(
            parsing: try ReadOnlyFile.contents(of: indexPath, limit: CheckpointIndex.maximumByteCount),
            file: indexPath)
        guard !hasSingle || index.shards.values.contains(singleFileName) else {
            throw CheckpointError(
                url.path, "the weights", found: "both \(singleFileName) and \(CheckpointIndex.fileName)",
                expected: "one of them", advice: "Move the one that is out of date away.")
        }
        return .sharded(index)
    }

    private static func openShards(
        of index: CheckpointIndex, in url: URL
    ) throws -> [String: SafetensorsFile] {
        var files: [String: SafetensorsFile] = [:]
        var problems: [CheckpointError.Problem] = []
        for shard in Set(index.shards.values).sorted() {
            let location = url.appendingPathComponent(shard)
            if FileManager.default.fileExists(atPath: location.path) {
                files[shard] = try SafetensorsFile(url: location)
            } else {
                problems.append(
                    .init(
                        "shard \(shard.quoted)", found: "no such file",
                        expected: "every file of the index", advice: "Fetch the missing shard."))
            }
        }
        if !problems.isEmpty { throw CheckpointError(file: url.path, problems: problems) }
        return files
    }

    private static func checkAgreement(
        of index: CheckpointIndex, with files: [String: SafetensorsFile], folder: URL
    ) throws {
        var problems: [CheckpointError.Problem] = []
        func report(_ name: String, _ found: String, _ expected: String) {
            problems.append(
                .init(
                    "tensor \(name.quoted)", found: found, expected: expected,
                    advice: "The index and the shards are not of one kind; fetch all of them again."))
        }
        for (name, shard) in index.shards where files[shard]?.tensors[name] == nil {
            report(name, "no such tensor in \(shard)", "the tensor that the index lists there")
        }
        for (shard, file) in files {
            for name in file.tensors.keys where index.shards[name] != shard {
                if let listed = index.shards[name] {
                    report(name, "copies in \(shard) and \(listed)", "one")
                } else {
                    report(name, "the tensor in \(shard), but not in the index", "both or neither")
                }
            }
        }
        guard problems.isEmpty else {
            problems.sort { ($0.subject, $0.found) < ($1.subject, $1.found) }
            throw CheckpointError(file: folder.path, problems: problems)
        }
    }
}
