import LigerRuntime

/// down(silu(gate(x)) up(x)).
public struct GatedFeedForward: Module {
    /// `gate_proj`.
    public let gate: Linear
    /// `up_proj`.
    public let up: Linear
    /// `down_proj`.
    public let down: Linear

    package init(
        _ name: String, hiddenSize: Int, intermediateSize: Int, hasBias: Bool, _ style: ParameterStyle
    ) throws {
        gate = try Linear(
            name + ".gate_proj", inputs: hiddenSize, outputs: intermediateSize, hasBias: hasBias, style)
        up = try Linear(
            name + ".up_proj", inputs: hiddenSize, outputs: intermediateSize, hasBias: hasBias, style)
        down = try Linear(
            name + ".down_proj", inputs: intermediateSize, outputs: hiddenSize, hasBias: hasBias, style)
    }

    public var parameters: [Parameter] { gate.parameters + up.parameters + down.parameters }

    /// [rows, hidden size], as x.
    public func callAsFunction(_ x: Tensor, _ kernels: KernelChoice) throws -> Tensor {
        let (gate, up) = (try gate(x), try up(x))
        let product =
            kernels.swiGLU ? try Fused.swiGLU(gate: gate, up: up) : try Reference.swiGLU(gate: gate, up: up)
        return try down(product)
    }
}
