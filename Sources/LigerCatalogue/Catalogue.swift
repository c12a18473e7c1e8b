package import LigerRuntime

/// Every operation, in the order of a model's forward pass: one line each.
package enum Catalogue {
    package static let entries: [CatalogueEntry] = [
        embedding,
        rmsNorm,
        fusedAddRMSNorm,
        layerNorm,
        groupNorm,
        dyT,
        rope,
        multimodalRoPE,
        interleavedRoPE,
        softmax,
        attention,
        attentionSoftmax,
        swiGLU,
        geGLU,
        reluSquared,
        crossEntropy,
        fusedLinearCrossEntropy,
        linearCrossEntropy,
        fusedLinearDPO,
        fusedLinearCPO,
        fusedLinearSimPO,
        fusedLinearORPO,
        fusedLinearKTO,
        fusedLinearGRPO,
        fusedLinearDistillation,
        linearLogProbabilities,
        linearLogits,
        selectiveLogSoftmax,
        klDivergence,
        jensenShannon,
        totalVariation,
        gradientNorm,
        adamW,
        randomFill,
    ]

    /// Entries and, on a GPU, other ways to the same results, beside each other.
    package static func withAlternatives(_ entries: [CatalogueEntry], on device: Device) -> [CatalogueEntry] {
        device.runsBehind ? entries.flatMap { [$0] + $0.alternatives } : entries
    }

    /// The entry of a name.
    package static func entry(_ name: String) -> CatalogueEntry? {
        entries.first { $0.name.lowercased() == name.lowercased() }
    }
}
