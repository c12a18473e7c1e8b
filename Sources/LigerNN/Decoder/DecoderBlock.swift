/// One of a decoder's blocks, with the parameters that it alone uses.
public struct DecoderBlock {
    let layer: any Layer
    let parameters: [Parameter]

    /// - Parameter make: makes the block's layers within the scope it is given.
    package init(_ scope: ParameterScope, _ make: (ParameterScope) -> any Layer) {
        let before = scope.parameters.count
        layer = make(scope)
        parameters = Array(scope.parameters[before...])
    }

    /// Like x. Where the tape recomputes blocks, nothing is kept but x.
    func callAsFunction(_ x: Tensor, _ context: SequenceContext) throws -> Tensor {
        x.tape.recomputation == .blocks
            ? try x.tape.recomputing(x, parameters) { try layer($0, context) } : try layer(x, context)
    }
}
