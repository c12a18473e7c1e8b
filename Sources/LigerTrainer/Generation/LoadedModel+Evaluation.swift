internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import LigerText
internal import Platform
internal import Tile

extension LoadedModel {
    /// How well a model predicts a text.
    package struct TextScore: Sendable, Codable {
        /// Mean over the tokens of -log p, in nats.
        package let loss: Double
        /// e^loss.
        package let perplexity: Double
        /// Tokens that were predicted.
        package let tokens: Int
        /// Bits for each byte of the text.
        package let bitsPerByte: Double
    }

    /// The loss of a text: each token but the first is predicted once, from those before it in its sequence.
    ///
    /// - Parameters:
    ///   - length: tokens of a sequence; the last may be shorter.
    ///   - batch: sequences at a time.
    /// - Throws: `TrainerError` (`textTooShort`) for a text of fewer than two tokens, (`invalidOptions`) for sequences
    ///   longer than the model's, (`vocabularyMismatch`) for a token that the model has no row for; `RuntimeError` when memory
    ///   runs out.
    package func score(_ corpus: Corpus, length: Int, batch: Int) throws -> TextScore {
        guard length <= decoder.maximumPositions else {
            throw TrainerError(
                .invalidOptions,
                "--seq is \(length), but the model has \(decoder.maximumPositions) positions.",
                remedy: "Use --seq \(decoder.maximumPositions) or less.")
        }
        var waiting: [Int32] = []
        var (sum, predicted) = (0.0, 0)
        /// Takes the loss of a batch of what waits, and keeps the token that the next begins with.
        func take(_ count: Int) throws {
            sum += try lossSum(waiting, stride(from: 0, to: count, by: length).map { $0 }[...], length)
            predicted += count
            waiting.removeFirst(count)
        }
        try corpus.encode(tokenizer) { ids in
            try vocabulary.check(ids, in: corpus.root)
            waiting += ids
            while waiting.count > batch * length { try take(batch * length) }
        }
        guard predicted + waiting.count > 1 else {
            throw TrainerError(
                .textTooShort, "The text has \(Format.count(waiting.count, "token")), and 2 are needed.",
                remedy: "Give more text.")
        }
        if waiting.count > 1 { try take(waiting.count - 1) }
        let loss = sum / Double(predicted)
        return TextScore(
            loss: loss, perplexity: exp(loss), tokens: predicted,
            bitsPerByte: sum / log(2) / Double(max(1, corpus.byteCount)))
    }

    /// The summed loss of the sequences that begin at some places; what they lack at their end counts for nothing.
    private func lossSum(_ tokens: [Int32], _ starts: ArraySlice<Int>, _ length: Int) throws -> Double {
        var ids: [Int32] = [], labels: [Int64] = []
        for place in starts.flatMap({ $0..<$0 + length }) {
            let isThere = place + 1 < tokens.count
            ids.append(isThere ? tokens[place] : 0)
            labels.append(isThere ? Int64(tokens[place + 1]) : -100)
        }
        let device = decoder.embedding.weight.value.device
        let shape = [starts.count, length]
        let loss = try decoder.loss(
            NDArray(copying: ids, shape, dtype: .i32, device: device),
            NDArray(copying: labels, shape, dtype: .i64, device: device),
            normaliser: NDArray([1], device: device), on: Tape(recording: false))
        return try loss.value.hostValues()[0]
    }
}
