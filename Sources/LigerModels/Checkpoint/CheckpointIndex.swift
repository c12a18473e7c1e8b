import LigerText

/// `model.safetensors.index.json`: which shard holds which tensor.
package struct CheckpointIndex: Sendable {
    static let fileName = "model.safetensors.index.json"
    /// Longest index that is read; one of a model with a million tensors stays below it.
    static let maximumByteCount = 200_000_000

    /// Shard's file name by tensor name.
    package let shards: [String: String]

    init(shards: [String: String]) { self.shards = shards }

    /// Parses an index. A shard must be a plain file name: anything that could lead out of the folder is
    /// refused. Throws `CheckpointError`.
    package init(parsing bytes: [UInt8], file: String) throws {
        guard case .object(let members) = try JSONValue(parsing: bytes, file: file),
            case .object(let weightMap)? = members["weight_map"], !weightMap.isEmpty
        else {
            throw CheckpointError(
                file, "weight_map", found: "none, or one without tensors",
                expected: "an object from tensor name to file name", advice: "Fetch the index again.")
        }
        var shards: [String: String] = [:]
        var problems: [CheckpointError.Problem] = []
        for (tensor, value) in weightMap.sorted(by: { $0.key < $1.key }) {
            if case .string(let shard) = value, Self.isPlainFileName(shard) {
                shards[tensor] = shard
            } else {
                problems.append(
                    .init(
                        "the shard of tensor \(tensor.quoted)", found: value.summary,
                        expected: "the plain name of a .safetensors file in the same folder",
                        advice: "Do not use this checkpoint unless you trust it; fetch the index again."))
            }
        }
        guard problems.isEmpty else {
            throw CheckpointError(file: file, problems: Array(problems.prefix(10)))
        }
        self.shards = shards
    }

    /// The text of the index, in the form that transformers writes.
    func serialized(totalByteCount: Int) -> [UInt8] {
        let value = JSONValue.object([
            "metadata": .object(["total_size": .integer(totalByteCount)]),
            "weight_map": .object(shards.mapValues { .string($0) }),
        ])
        return Array((value.serialized() + "\n").utf8)
    }

    private static func isPlainFileName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.hasPrefix(".")
            && !name.unicodeScalars.contains { $0 == "/" || $0 == "\\" || $0.value < 0x20 }
    }
}
