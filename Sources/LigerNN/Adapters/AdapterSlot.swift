/// Where an adapter of a linear layer goes: layers are made first, and adapted later or never.
package final class AdapterSlot {
    /// The layer's name among a checkpoint's, such as `model.layers.0.self_attn.q_proj`.
    package let name: String
    /// The layer's weight.
    package let weight: Parameter
    /// Nil where the layer is as it is.
    package internal(set) var adapter: LowRankAdapter?

    init(_ name: String, _ weight: Parameter) {
        self.name = name
        self.weight = weight
    }
}
