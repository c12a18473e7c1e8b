import LigerText
public import Platform

extension Checkpoint {
    /// Largest shard by default: 5 GB, as transformers counts it.
    public static let standardShardByteCount = 5_000_000_000

    /// Writes weights, configuration and `others` (file name to content, such as a tokenizer) as the new
    /// folder `url`, which transformers loads as it is. The folder appears complete or not at all.
    ///
    /// `tensors` come in the model's order, which decides what shares a shard. An existing folder is
    /// refused unless `replacing`; then all of it gives way. Throws `CheckpointError`.
    public static func save(
        _ tensors: [TensorContent], configuration: ModelConfiguration, others: [String: [UInt8]] = [:],
        to url: URL, replacing: Bool = false, maximumShardByteCount: Int = standardShardByteCount
    ) throws {
        try AtomicDirectory.write(to: url, replacing: replacing) { folder in
            try write(
                tensors, configuration: configuration, others: others, into: folder,
                maximumShardByteCount: maximumShardByteCount)
        }
    }

    /// Writes the same files into an existing folder without weights; whoever calls it sees to it that a
    /// crash leaves no half of them under the folder's final name.
    ///
    /// - Parameter team: the processes that write weights together. All call this; the first writes the rest.
    package static func write(
        _ tensors: [TensorContent], configuration: ModelConfiguration, others: [String: [UInt8]],
        into folder: URL, maximumShardByteCount: Int = standardShardByteCount,
        with team: any FileTeam = LoneWriter()
    ) throws {
        let text = try configuration.serialized()
        try writeWeights(
            tensors, into: folder, maximumShardByteCount: maximumShardByteCount, with: team)
        guard team.isFirst else { return }
        try AtomicFile.write(text, to: folder.appendingPathComponent(ModelConfiguration.fileName))
        try CompanionFiles.write(others, into: folder)
    }

    /// Writes weights into the existing folder `folder`: one file, or shards of at most
    /// `maximumShardByteCount` bytes of data (a larger tensor gets a shard of its own) and their index,
    /// last. A folder that already has weights is refused, since old and new shards would mix.
    package static func writeWeights(
        _ tensors: [TensorContent], into folder: URL, maximumShardByteCount: Int = standardShardByteCount,
        with team: any FileTeam = LoneWriter()
    ) throws {
        if team.isFirst { try requireNoWeights(in: folder) }
        let groups = split(tensors, maximumByteCount: maximumShardByteCount)
        guard groups.count > 1 else {
            let file = folder.appendingPathComponent(singleFileName)
            return try SafetensorsWriter.write(tensors, to: file, with: team)
        }
        var shards: [String: String] = [:]
        for (number, group) in groups.enumerated() {
            let name = shardName(number + 1, of: groups.count)
            for tensor in group {
                guard shards.updateValue(name, forKey: tensor.name) == nil else {
                    throw CheckpointError(
                        folder.path, "tensor \(tensor.name.quoted)",
                        found: "a name that is taken", expected: "a name of its own",
                        advice: "Rename one of the two.")
                }
            }
            try SafetensorsWriter.write(group, to: folder.appendingPathComponent(name), with: team)
        }
        guard team.isFirst else { return }
        let total = tensors.reduce(0) { $0 + ($1.byteCount ?? 0) }
        try AtomicFile.write(
            CheckpointIndex(shards: shards).serialized(totalByteCount: total),
            to: folder.appendingPathComponent(CheckpointIndex.fileName))
    }

    /// Fills shards in the given order, opening the next when a tensor no longer fits.
    private static func split(_ tensors: [TensorContent], maximumByteCount: Int) -> [[TensorContent]] {
        var groups: [[TensorContent]] = []
        var current: [TensorContent] = []
        var byteCount = 0
        for tensor in tensors {
            let size = tensor.byteCount ?? 0
            if !current.isEmpty, size > maximumByteCount - byteCount {
                groups.append(current)
                (current, byteCount) = ([], 0)
            }
            current.append(tensor)
            byteCount += size
        }
        return groups + (current.isEmpty ? [] : [current])
    }

    private static func shardName(_ number: Int, of count: Int) -> String {
        func padded(_ value: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "model-\(padded(number))-of-\(padded(count)).safetensors"
    }

    private static func requireNoWeights(in folder: URL) throws {
        for name in [singleFileName, CheckpointIndex.fileName] {
            guard !FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path) else {
                throw CheckpointError(
                    folder.path, "the folder", found: "a checkpoint (\(name))",
                    expected: "a folder without weights", advice: "Choose another folder.")
            }
        }
    }
}
