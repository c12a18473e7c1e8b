internal import LigerModels
internal import LigerNN
internal import LigerRuntime
internal import LigerText

extension TrainingModel {
    /// The most tokens of a sample.
    private static let sampleTokens = 64

    /// How the model continues a prompt at present, the likeliest token each time. Changes nothing that training reads.
    func sample(_ prompt: String) throws -> String {
        let tokens = try PromptTokens.tokens(of: prompt, tokenizer)
        var text = StreamedText(tokenizer)
        _ = try TextGenerator(decoder, endTokens: endTokens).continuing(tokens, count: Self.sampleTokens) {
            _ = text.add($0)
        }
        _ = text.finish()
        return prompt + text.shown
    }
}
