import LigerNN
import LigerText
import Platform
import Tile

extension Checkpoint {
    /// Checks that the weights are exactly those that `configuration` describes, without reading any.
    ///
    /// Three things may stand in a checkpoint beyond that, since they say nothing new: the wavelengths of the
    /// rotary embedding, causal masks, and a tied head that equals the embedding. Throws one `CheckpointError` with every
    /// tensor that is missing, has another shape, is not of a floating-point type, or has no place.
    package func requireWeights(of configuration: ModelConfiguration) throws {
        let model = configuration.layers()
        let pieces = model.parameters.flatMap(\.stored)
        var problems = pieces.compactMap { problem(of: $0.name, shape: $0.shape) }
        let names = Set(pieces.map(\.name))
        for name in self.names where !names.contains(name) && !Self.isConstant(name) {
            if model.isTied, name == Self.headName {
                if let problem = try problemOfTiedHead(model.embedding.weight) { problems.append(problem) }
            } else {
                problems.append(
                    .init(
                        Self.subject(name), found: "a tensor without a place",
                        expected: "only tensors that config.json implies",
                        advice: "Check that config.json belongs to these weights."))
            }
        }
        if !problems.isEmpty { throw CheckpointError(file: url.path, problems: problems) }
    }

    /// The output projection's weight, where a checkpoint has one of its own.
    static let headName = "lm_head.weight"

    /// Whether a tensor of this name follows from the configuration: what older releases stored with the weights.
    private static func isConstant(_ name: String) -> Bool {
        [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"].contains { name.hasSuffix($0) }
    }

    /// The weights by the names that a model has for them.
    func placed(in model: Decoder) -> Checkpoint {
        let names = model.embedding.weight.name.split(separator: ".")
        return names.count > 2 ? under("\(names[0]).") : self
    }

    private static func subject(_ name: String) -> String { "tensor \(name.quoted)" }

    private func problem(of name: String, shape: [Int]) -> CheckpointError.Problem? {
        guard let entry = tensors[name] else {
            return .init(
                Self.subject(name), found: "no tensor of this name", expected: "one of shape \(shape)",
                advice: "The checkpoint is incomplete or config.json is another model's; fetch both again.")
        }
        if entry.shape != shape {
            return .init(
                Self.subject(name), found: "shape \(entry.shape)", expected: "\(shape)",
                advice: "config.json and the weights do not belong together; fetch both again.")
        }
        if entry.dtype?.isFloat != true {
            return .init(
                Self.subject(name),
                found: "element type \(entry.storedType.rawValue.quoted)",
                expected: "F32, BF16 or F16",
                advice: "Convert the weights to one of these, for instance with torch, and save them again.")
        }
        return nil
    }

    /// transformers would drop a head that config.json calls tied, and compute something else than whoever
    /// stored it.
    private func problemOfTiedHead(_ embedding: Parameter) throws -> CheckpointError.Problem? {
        let head = Self.headName
        guard tensors[embedding.name]?.shape == embedding.shape else { return nil }
        if tensors[head]?.shape == embedding.shape,
            tensors[head]?.storedType == tensors[embedding.name]?.storedType,
            try equals(head, embedding.name)
        {
            return nil
        }
        return .init(
            Self.subject(head), found: "another tensor than \(embedding.name)",
            expected: "the same, or none, since config.json ties the two",
            advice: "Set tie_word_embeddings to false if the head is meant to be separate.")
    }

    /// Whether two tensors of one size have the same bytes.
    private func equals(_ first: String, _ second: String) throws -> Bool {
        let count = try entry(of: first).byteRange.count
        let piece = 1 << 20
        var (left, right) = ([UInt8](repeating: 0, count: piece), [UInt8](repeating: 0, count: piece))
        for start in stride(from: 0, to: count, by: piece) {
            let length = min(piece, count - start)
            try left.withUnsafeMutableBytes {
                try read(first, from: start, into: .init(rebasing: $0[..<length]))
            }
            try right.withUnsafeMutableBytes {
                try read(second, from: start, into: .init(rebasing: $0[..<length]))
            }
            if left[..<length] != right[..<length] { return false }
        }
        return true
    }
}
