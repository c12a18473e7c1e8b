/// The presets of models with experts.
extension ModelPreset {
    var mixture: ModelConfiguration {
        switch self {
        case .mixtralWith8x7B:
            ModelConfiguration(
                Mixtral(
                    .init(
                        hiddenSize: 4096, intermediateSize: 14336, layerCount: 32, headCount: 32,
                        keyValueHeadCount: 8, vocabularySize: 32000, maximumPositions: 32768,
                        rmsNormEpsilon: 1e-5, rope: RopeConfiguration(theta: 1e6))))
        case .qwen3With30B: Self.qwen3Configuration
        default: Self.nanoConfiguration
        }
    }

    private static var qwen3Configuration: ModelConfiguration {
        var model = Qwen3MoE(
            .init(
                hiddenSize: 2048, intermediateSize: 6144, layerCount: 48, headCount: 32,
                keyValueHeadCount: 4, headSize: 128, vocabularySize: 151_936, maximumPositions: 40_960,
                rope: RopeConfiguration(theta: 1e6), beginTokenID: 151_643, endTokenIDs: [151_645]))
        model.experts.normalises = true
        return ModelConfiguration(model)
    }

    /// Of bytes, with the loss of routers.
    private static var nanoConfiguration: ModelConfiguration {
        var model = Mixtral(
            .init(
                hiddenSize: 64, intermediateSize: 96, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
                vocabularySize: 256, maximumPositions: 4096, rmsNormEpsilon: 1e-5, beginTokenID: nil,
                endTokenIDs: []))
        model.experts.count = 4
        (model.experts.hasLoss, model.experts.lossWeight) = (true, 0.02)
        return ModelConfiguration(model)
    }
}
