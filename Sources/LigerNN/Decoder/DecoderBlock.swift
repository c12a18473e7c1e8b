/// One of a decoder's blocks, with the parameters that it alone uses.
public struct DecoderBlock {
    let layer: any Layer
    private let own: [Parameter]
    private let slots: [AdapterSlot]
    let place = WeightPlace()

    /// - Parameter make: makes the block's layers within the scope it is given.
    package init(_ scope: ParameterScope, _ make: (ParameterScope) -> any Layer) {
        let (before, slotsBefore) = (scope.parameters.count, scope.slots.count)
        layer = make(scope)
        own = Array(scope.parameters[before...])
        slots = Array(scope.slots[slotsBefore...])
    }

    var parameters: [Parameter] { own + slots.flatMap(\.parameters) }

    /// Like x. Where the tape's plan recomputes the block of this number whole, nothing is kept but x.
    func callAsFunction(_ x: Tensor, _ context: SequenceContext, number: Int) throws -> Tensor {
        try place.using(on: x.tape, again: true) {
            try x.tape.recording(block: number) { parts in
                parts.contains(.block)
                    ? try x.tape.recomputing(x, parameters) { try layer($0, context) } : try layer(x, context)
            }
        }
    }
}
