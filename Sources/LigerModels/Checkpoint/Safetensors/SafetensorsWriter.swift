import LigerText
public import Platform

/// Writes safetensors files.
public enum SafetensorsWriter {
    /// The metadata by which transformers recognises a file of PyTorch-style weights.
    public static let standardMetadata = ["format": "pt"]

    /// Writes `tensors` to `url`, replacing a file of that name only once the new one is complete and on
    /// the disk; a failure leaves nothing behind.
    ///
    /// The layout is that of the format's own library, so that equal content gives equal files whoever
    /// writes them: widest element type first, which keeps every tensor aligned to its elements, then by
    /// name; the header is padded to 8 bytes. Each tensor's bytes are asked for once, in that order.
    /// Throws `CheckpointError` for two tensors of one name, a tensor whose bytes do not fit its shape, a
    /// full disk or an unwritable folder, and passes on what a tensor's closure throws.
    public static func write(
        _ tensors: [TensorContent], metadata: [String: String] = standardMetadata, to url: URL
    ) throws {
        try write(tensors, metadata: metadata, to: url, with: LoneWriter())
    }

    /// The same by the processes of a team, each its share of every tensor.
    package static func write(
        _ tensors: [TensorContent], metadata: [String: String] = standardMetadata, to url: URL,
        with team: any FileTeam
    ) throws {
        let ordered = inOrder(tensors)
        let header = try header(ordered, metadata: metadata, file: url.path)
        if !team.isFirst {
            return try AtomicFile.add(with: team) { sink in
                try sink.skip(header.count)
                for tensor in ordered { try write(tensor, to: sink) }
            }
        }
        try AtomicFile.write(to: url, with: team) { sink in
            try sink.write(header)
            for tensor in ordered { try write(tensor, to: sink) }
        }
    }

    private static func inOrder(_ tensors: [TensorContent]) -> [TensorContent] {
        tensors.sorted { first, second in
            let (left, right) = (first.storedType.layoutRank, second.storedType.layoutRank)
            return left != right
                ? left > right : first.name.utf8.lexicographicallyPrecedes(second.name.utf8)
        }
    }

    /// The header with its length in front.
    private static func header(
        _ tensors: [TensorContent], metadata: [String: String], file: String
    ) throws -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            let strings = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { "\(JSONValue.literal($0.key)):\(JSONValue.literal($0.value))" }
            members.append("\"__metadata__\":{\(strings.joined(separator: ","))}")
        }
        var names: Set<String> = ["__metadata__"]
        var offset = 0
        for tensor in tensors {
            let subject = "tensor \(tensor.name.quoted)"
            guard names.insert(tensor.name).inserted else {
                throw CheckpointError(
                    file, subject, found: "a name that is taken", expected: "a name of its own",
                    advice: "Rename one of the two.")
            }
            let (end, overflow) = offset.addingReportingOverflow(tensor.byteCount ?? .max)
            guard tensor.byteCount != nil, !overflow else {
                throw CheckpointError(
                    file, subject,
                    found: "shape \(tensor.shape) of \(tensor.storedType.rawValue.quoted)",
                    expected: "a type and a size that the format has", advice: "Convert the tensor first.")
            }
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            members.append(
                "\(JSONValue.literal(tensor.name)):{\"dtype\":\"\(tensor.storedType.rawValue)\","
                    + "\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        text += Array(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
        guard text.count <= SafetensorsHeader.maximumByteCount else {
            throw CheckpointError(
                file, "the header", found: "\(text.count) bytes",
                expected: "at most \(SafetensorsHeader.maximumByteCount)",
                advice: "Write the tensors to several files.")
        }
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }

    private static func write(_ tensor: TensorContent, to sink: FileSink) throws {
        let all = tensor.byteCount ?? 0, share = tensor.share ?? 0..<all
        try sink.skip(share.lowerBound)
        let start = sink.byteCount
        try tensor.produce { try sink.write($0) }
        let written = sink.byteCount - start
        guard written == share.count, share.upperBound <= all else {
            throw CheckpointError(
                sink.path, "tensor \(tensor.name.quoted)", found: "\(written) bytes",
                expected: "\(share.count) for shape \(tensor.shape) of \(tensor.storedType.rawValue)",
                advice: "Give the tensor's own shape and element type.")
        }
        try sink.skip(all - share.upperBound)
    }
}
