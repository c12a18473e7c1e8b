/// Where an adapter of a linear layer goes: layers are made first, and adapted later or never.
package final class AdapterSlot {
    /// The layer's name among a checkpoint's, such as `model.layers.0.self_attn.q_proj`.
    package var name: String { products.name }
    /// The layer's weight.
    package var weight: Parameter { products.weight }
    /// How the layer multiplies by it.
    let products: LinearProducts
    /// Nil where the layer is as it is.
    package internal(set) var adapter: LowRankAdapter?

    init(_ products: LinearProducts) { self.products = products }
}
