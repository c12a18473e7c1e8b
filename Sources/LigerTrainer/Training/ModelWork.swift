package import LigerModels
internal import LigerNN
package import Tile

/// The arithmetic that a model's formulas take, whatever is computed again: what speeds are compared by.
///
///     operations per token = 6 (weights in matrix products) + 6 layers length heads headSize
///
/// Of experts those that a token goes to.
///
/// Forward a product takes 2 operations per weight, backward 4. Attention takes two products over half of the
/// sequence on average, as it is causal. (Chowdhery and others, 2022, appendix B, who count the whole square.)
package struct ModelWork: Sendable, Equatable {
    /// Of one token, forward and backward.
    package let operationsPerToken: Double

    /// - Parameters:
    ///   - length: tokens of a sequence.
    ///   - adapterCount: numbers of an adapter; weights are frozen then, and no product makes their gradient.
    package init(_ configuration: ModelConfiguration, length: Int, adapterCount: Int? = nil) {
        let model = configuration.layers()
        // The embedding is looked up, the head multiplied; a tied weight is counted once, as the head.
        let lookedUp = model.isTied ? 0 : model.embedding.weight.count
        let attention =
            configuration.layerCount * length * configuration.headCount * configuration.headSize
        let used = model.parameters.reduce(0.0) { $0 + $1.usedShare * Double($1.count) }
        let perWeight = adapterCount == nil ? 6.0 : 4
        operationsPerToken =
            perWeight * (used - Double(lookedUp)) + 6 * Double(attention + (adapterCount ?? 0))
    }

    /// 10^12 operations a second.
    package func teraflops(tokensPerSecond: Double) -> Double { tokensPerSecond * operationsPerToken * 1e-12 }

    /// What the tensor cores of a GPU do at best in dense products of 16-bit numbers, in 10^12 operations a
    /// second, by NVIDIA's data sheets; nil for other GPUs and types.
    package static func peakTeraflops(of model: String?, dtype: DType) -> Double? {
        guard let model, dtype == .bf16 else { return nil }
        let peaks = [
            ("H200", 989.0), ("H100 NVL", 835), ("H100 PCIe", 756), ("H100", 989), ("B200", 2250),
            ("A100", 312), ("L40S", 362), ("L4", 121), ("A10G", 70), ("RTX 4090", 165),
        ]
        return peaks.first { model.contains($0.0) }?.1
    }
}
