import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    static let rotations = [rope, multimodalRoPE, interleavedRoPE]

    // q and k: [batch, sequence, heads, head size]; cos and sin: [positions, at least rotary_dim / 2], one row a
    // position, or with per_token one row a token of the batch. rotary_dim: how much of a head is rotated.
    private static let rope = OperationFamily(
        RoPE.self,
        Operation("rope") { s in
            let heads = Heads(&s), cos = s.input("cos"), sin = s.input("sin")
            let rotaryDim = s.whole("rotary_dim"), inverse = s.flag("inverse")
            let perToken = s.flag("per_token")
            return { a in
                let tables = try [(cos, "cos"), (sin, "sin")].map {
                    try columns(of: a[$0], $1, a[rotaryDim] / 2)
                }
                let (q, k) = heads.read(a)
                let rotated = try RoPE.apply(
                    q, k, cos: tables[0], sin: tables[1], rowPerToken: a[perToken], inverse: a[inverse])
                return [rotated.q, rotated.k]
            }
        })

    // As above; cos and sin: [planes, batch or 1, sequence, head size]; sections: pairs of each plane.
    private static let multimodalRoPE = OperationFamily(
        MultimodalRoPE.self,
        Operation("multimodal_rope") { s in
            let heads = Heads(&s), cos = s.input("cos"), sin = s.input("sin")
            let sections = s.wholes("sections"), inverse = s.flag("inverse")
            return { a in
                try heads.map(a) {
                    try MultimodalRoPE.apply(
                        $0, cos: a[cos], sin: a[sin], sections: a[sections], inverse: a[inverse])
                }
            }
        })

    // As above; rotations: [batch or 1, sequence, half the head size, 2], cosines and sines.
    private static let interleavedRoPE = OperationFamily(
        InterleavedRoPE.self,
        Operation("interleaved_rope") { s in
            let heads = Heads(&s), rotations = s.input("rotations"), inverse = s.flag("inverse")
            return { a in
                try heads.map(a) {
                    try InterleavedRoPE.apply($0, rotations: a[rotations], inverse: a[inverse])
                }
            }
        })

    static let lookups = [
        OperationFamily(
            Embedding.self,
            Operation("embedding_forward") { s in
                let table = s.input("table"), ids = s.input("ids")
                s.output("y", [.all(of: ids), .last(of: table)], .of(table))
                return { a in [try Embedding.forward(ids: a[ids], table: a[table])] }
            },
            Operation("embedding_backward") { s in
                let dy = s.input("dy"), ids = s.input("ids"), vocabulary = s.whole("vocabulary")
                s.output("dtable", [.option(vocabulary), .last(of: dy)], .of(dy))
                return { a in
                    [try Embedding.backward(dy: a[dy], ids: a[ids], vocabulary: a[vocabulary])]
                }
            })
    ]
}

/// The heads of queries and of keys, which are rotated alike.
private struct Heads {
    private let q, k: Input<NDArray>

    init(_ s: inout Signature) {
        q = s.input("q")
        k = s.input("k")
        s.output("yq", like: q)
        s.output("yk", like: k)
    }

    func read(_ a: Arguments) -> (q: NDArray, k: NDArray) { (a[q], a[k]) }

    func map(_ a: Arguments, _ rotate: (NDArray) throws -> NDArray) throws -> [NDArray?] {
        [try rotate(a[q]), try rotate(a[k])]
    }
}

/// The first columns of a matrix.
private func columns(of array: NDArray, _ name: String, _ count: Int) throws -> NDArray {
    guard array.shape.count == 2, (1...max(array.shape[1], 1)).contains(count) else {
        throw RuntimeError("\(name) has shape \(array.shape). Give it rows of at least \(count) columns")
    }
    return array.sliced(1, 0..<count)
}
