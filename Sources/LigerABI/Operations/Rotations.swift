import LigerKernels
import LigerRuntime

extension Operation {
    static let rotations = [
        // q and k: [batch, sequence, heads, head size]; cos and sin: [positions, at least `half`], one row a position,
        // or with `per_token` one row a token of the batch. `half` is half of what turns of a head.
        Operation("rope", returns: "yq", "yk") { a in
            let half = try a.int("half")
            let (cos, sin) = (try a.columns("cos", half), try a.columns("sin", half))
            let (inverse, perToken) = (try a.flag("inverse"), try a.flag("per_token"))
            return try [a("q"), a("k")].map {
                try RoPE.apply($0, cos: cos, sin: sin, rowPerToken: perToken, inverse: inverse)
            }
        },
        // As above; cos and sin: [3, batch or 1, sequence, head size], and pairs of each plane in the options.
        Operation("multimodal_rope", returns: "yq", "yk") { a in
            let (cos, sin) = (try a("cos"), try a("sin"))
            let sections = try (0..<(cos.shape.first ?? 0)).map { try a.int("section_\($0)") }
            let inverse = try a.flag("inverse")
            return try [a("q"), a("k")].map {
                try MultimodalRoPE.apply($0, cos: cos, sin: sin, sections: sections, inverse: inverse)
            }
        },
        // As above; turns: [batch or 1, sequence, half the head size, 2], cosines and sines.
        Operation("interleaved_rope", returns: "yq", "yk") { a in
            let (turns, inverse) = (try a("turns"), try a.flag("inverse"))
            return try [a("q"), a("k")].map {
                try InterleavedRoPE.apply($0, turns: turns, inverse: inverse)
            }
        },
    ]

    static let lookups = [
        Operation("embedding_forward", returns: "y") { a in
            [try Embedding.forward(ids: a("ids"), table: a("table"))]
        },
        Operation("embedding_backward", returns: "dtable") { a in
            [try Embedding.backward(dy: a("dy"), ids: a("ids"), vocabulary: a.int("vocabulary"))]
        },
    ]
}

extension Arguments {
    /// The first columns of a matrix.
    fileprivate func columns(_ name: String, _ count: Int) throws -> NDArray {
        let array = try self(name)
        guard array.shape.count == 2, (1...max(array.shape[1], 1)).contains(count) else {
            throw RuntimeError("\(name) has shape \(array.shape). Give it rows of at least \(count) columns")
        }
        return array.sliced(1, 0..<count)
    }
}
