import LigerKernels
import LigerRuntime
import Tile

/// Keys and values of one sequence's tokens so far, layer by layer, so that a model reads each token once.
///
/// Layers ask for their part in the order in which they run. The first pass reads the prompt, with the attention of
/// training; each later one reads a single token.
package final class KeyValueCache {
    /// The most tokens.
    package let capacity: Int
    /// Tokens that are held, each by all layers.
    package private(set) var length = 0
    private var layers: [Layer] = []
    private var next = 0

    /// One layer's, [capacity and some more, heads, head size] each. What is not written yet is 0.
    fileprivate struct Layer {
        let keys: NDArray
        let values: NDArray
    }

    /// Scores are computed for so many positions more at a time: their sizes change now and then only, as products of
    /// new sizes have to be planned.
    private static let step = 64

    package init(capacity: Int) { self.capacity = capacity }

    /// Takes in what all layers have kept of so many tokens.
    func advance(by count: Int) {
        precondition(next == layers.count, "a pass of all layers")
        length += count
        next = 0
    }

    /// Forgets what a pass that failed has kept.
    func rewind() { next = 0 }

    /// Attention of the queries [1, tokens, heads, head size] to these keys and values and all before them.
    ///
    /// - Parameter rule: which keys it sees, and what happens to scores.
    func attending(
        _ query: Tensor, _ key: Tensor, _ value: Tensor, _ rule: AttentionRule, _ method: AttentionMethod
    ) throws -> Tensor {
        let count = key.shape[1]
        precondition(key.shape[0] == 1 && length + count <= capacity, "one sequence, within the capacity")
        let layer = try keep(key.value, value.value)
        if length == 0 { return try query.attending(to: key, value, rule: rule, method: method) }
        precondition(count == 1, "one token at a time after the prompt")
        let first = max(0, length + 1 - (rule.window ?? .max))
        return query.tape.constant(try layer.attended(query.value, rule, from: first, to: length, Self.step))
    }

    private func keep(_ key: NDArray, _ value: NDArray) throws -> Layer {
        if next == layers.count { layers.append(try Layer(like: key, room: capacity + Self.step)) }
        let layer = layers[next]
        next += 1
        let range = length..<length + key.shape[1]
        for (rows, kept) in [(key, layer.keys), (value, layer.values)] {
            let width = rows.shape[2] * rows.shape[3]
            try Elementwise.copyRows(
                rows.reshaped([range.count, width]),
                into: kept.reshaped([kept.shape[0], width]).sliced(0, range))
        }
        return layer
    }
}

extension KeyValueCache.Layer {
    fileprivate init(like key: NDArray, room: Int) throws {
        let shape = [room, key.shape[2], key.shape[3]]
        keys = try NDArray.zeros(shape, dtype: key.dtype, device: key.device)
        values = try NDArray.zeros(shape, dtype: key.dtype, device: key.device)
    }

    /// softmax(s) v with the rule's scores s of the token at position `last`, over positions `first ... last`: a product for
    /// each head of keys, all of them at once. Positions up to a multiple of `step` take part and get no weight.
    fileprivate func attended(
        _ query: NDArray, _ rule: AttentionRule, from first: Int, to last: Int, _ step: Int
    ) throws -> NDArray {
        let (heads, size) = (keys.shape[1], keys.shape[2])
        let group = query.shape[2] / heads
        let count = (last + 1 - first + step - 1) / step * step
        let scores = try NDArray(empty: [heads, group, count], device: query.device)
        try MatMul.applyBatched(
            query.reshaped([heads, group, size]), keys.heads(first, count), transposeB: true, into: scores)
        var scale = rule.scale ?? 1 / Float(size).squareRoot()
        if let cap = rule.softcap {
            try Softcap.forward(scores, into: scores, scale: scale, cap: cap)
            scale = 1
        }
        try Softmax.forward(
            inPlace: scores.reshaped([heads * group, count]), scale: scale, firstQuery: last - first,
            queries: 1)
        let output = try NDArray(empty: [heads, group, size], dtype: query.dtype, device: query.device)
        // Factors of a GPU's product have one type.
        let weights = query.device.isGPU ? try Cast.apply(scores, to: values.dtype) : scores
        try MatMul.applyBatched(weights, values.heads(first, count), into: output)
        return output.reshaped(query.shape)
    }
}

extension NDArray {
    /// Some positions of [positions, heads, D], head by head: [heads, count, D], sharing the buffer.
    fileprivate func heads(_ first: Int, _ count: Int) -> NDArray {
        NDArray(
            buffer: buffer, offset: offset + first * strides[0], shape: [shape[1], count, shape[2]],
            strides: [strides[1], strides[0], strides[2]], dtype: dtype)
    }
}
