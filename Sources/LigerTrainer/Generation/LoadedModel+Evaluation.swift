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
    ///   longer than the model's; `RuntimeError` when memory runs out.
    package func score(_ corpus: Corpus, length: Int, batch: Int) throws -> TextScore {
        guard length <= decoder.maximumPositions else {
            throw TrainerError(
                .invalidOptions,
                "--seq is \(length), but the model has \(decoder.maximumPositions) positions.",
                remedy: "Use --seq \(decoder.maximumPositions) or less.")
        }
        let tokens = TokenStream.tokens(of: corpus) { tokenizer.encodeDocument($0) }
        guard tokens.count > 1 else {
            throw TrainerError(
                .textTooShort, "The text has \(Format.count(tokens.count, "token")), and 2 are needed.",
                remedy: "Give more text.")
        }
        let starts = Array(stride(from: 0, to: tokens.count - 1, by: length))
        var sum = 0.0
        for place in stride(from: 0, to: starts.count, by: batch) {
            sum += try lossSum(tokens, starts[place..<min(place + batch, starts.count)], length)
        }
        let loss = sum / Double(tokens.count - 1)
        return TextScore(
            loss: loss, perplexity: exp(loss), tokens: tokens.count - 1,
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
