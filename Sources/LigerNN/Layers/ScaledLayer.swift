/// A layer's output times a number.
package struct ScaledLayer: Layer {
    private let layer: any Layer
    private let factor: Float

    package init(_ layer: any Layer, by factor: Float) {
        self.layer = layer
        self.factor = factor
    }

    package func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        try layer(x, context).scaled(by: factor)
    }
}
