package import LigerKernels
package import LigerRuntime

extension TokenBatch {
    /// The same examples in one row without padding: all layers but attention see tokens apart, and attention stays within
    /// examples, so it is the same step. Itself where rows do not say what is padding.
    package var withoutPadding: TokenBatch {
        guard let documents else { return self }
        let places = documents.enumerated().flatMap { row, ranges in
            ranges.map { $0.lowerBound + row * sequenceLength..<$0.upperBound + row * sequenceLength }
        }
        var batch = TokenBatch(
            rows: 1, sequenceLength: places.reduce(0) { $0 + $1.count },
            inputs: places.flatMap { inputs[$0] }, labels: places.flatMap { labels[$0] },
            preferences: preferences, advantages: advantages, tokens: tokens, weight: weight)
        var start = 0
        batch.documents = [
            places.map { place in
                defer { start += place.count }
                return start..<start + place.count
            }
        ]
        return batch
    }

    /// [rows, sequenceLength]: 0 for padding, else 1; nil where rows do not say what is padding.
    package var counted: [Int32]? {
        documents.map { documents in
            documents.flatMap { row -> [Int32] in
                let count = row.last?.upperBound ?? 0
                return Array(repeating: 1, count: count) + Array(repeating: 0, count: sequenceLength - count)
            }
        }
    }

    /// Where examples begin that share rows, and the padding after them; nil where each row has one, which no token sees
    /// past.
    package func borders(on device: Device) throws -> DocumentBorders? {
        guard let documents, documents.contains(where: { $0.count > 1 }) else { return nil }
        let starts = documents.map { row in
            let end = row.last?.upperBound ?? 0
            return row.map(\.lowerBound) + (end < sequenceLength ? [end] : [])
        }
        return try DocumentBorders(starts: starts, length: sequenceLength, device: device)
    }
}
