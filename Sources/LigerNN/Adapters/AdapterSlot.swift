/// Where an adapter goes, of a linear layer or of all experts' matrices of a layer: layers are made first, and adapted
/// later or never.
package final class AdapterSlot {
    /// The layer's name among the modules of transformers, such as `model.layers.0.self_attn.q_proj`, or the parameter's,
    /// such as `model.layers.0.mlp.experts.down_proj`.
    package let name: String
    /// The layer's weight.
    package let weight: Parameter
    /// How the layer multiplies by it; nil for experts.
    let products: LinearProducts?
    /// Whether `all` targets leave it alone.
    let isNamedOnly: Bool
    /// Of a linear layer; nil where it is as it is.
    package internal(set) var adapter: LowRankAdapter?
    /// Of experts; nil where they are as they are.
    package internal(set) var experts: ExpertAdapter?

    /// Of a linear layer.
    init(_ products: LinearProducts, isNamedOnly: Bool = false) {
        (name, weight, self.products, self.isNamedOnly) = (
            products.name, products.weight, products, isNamedOnly
        )
    }

    /// Of matrices of experts, [experts, outputs, inputs].
    init(experts: Parameter, name: String) {
        (self.name, weight, products, isNamedOnly) = (name, experts, nil, true)
    }

    /// Whether it is of experts' matrices, which are parameters and no modules.
    var isOfExperts: Bool { products == nil }

    /// Whether it is of a feed-forward layer that is not of experts.
    var isDenseFeedForward: Bool {
        let names: [Substring] = ["gate_proj", "up_proj", "down_proj"]
        return !isOfExperts && names.contains(name.split(separator: ".").last ?? "")
    }

    /// The parameters of the adapter that is there.
    var parameters: [Parameter] { (adapter?.parameters ?? []) + (experts?.parameters ?? []) }
}
