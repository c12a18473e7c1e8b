package import LigerKernels
package import Tile

/// Where a layer makes its parameters: a place among a checkpoint's names, and what all parameters of a model
/// have in common.
///
///     let attention = scope["model.layers.0"]["self_attn"]
///     let query = Linear(attention["q_proj"], inputs: 64, outputs: 64)    // model.layers.0.self_attn.q_proj.weight
///
/// A model's layers are made within one scope, which lists their parameters in the order in which they are made.
/// They take no memory, so names and shapes of a model of any size are known at once.
package struct ParameterScope {
    /// What all places of one model share.
    private final class Model {
        let dtype: DType
        let deviation: Float
        var parameters: [Parameter] = []
        var attentionRules: Set<AttentionRule> = []
        var slots: [AdapterSlot] = []
        var expertSizes: Set<ExpertSizes> = []
        var linearLayers: [LinearProducts] = []

        init(dtype: DType, deviation: Float) {
            self.dtype = dtype
            self.deviation = deviation
        }
    }

    private let model: Model
    private let path: String

    /// The scope of a new model.
    ///
    /// - Parameters:
    ///   - dtype: storage of the parameters.
    ///   - deviation: of the normal distribution that weights start from.
    package init(dtype: DType = .f32, deviation: Float = 0.02) {
        model = Model(dtype: dtype, deviation: deviation)
        path = ""
    }

    private init(_ model: Model, path: String) {
        self.model = model
        self.path = path
    }

    /// The place of a part.
    package subscript(_ name: String) -> ParameterScope {
        ParameterScope(model, path: path.isEmpty ? name : "\(path).\(name)")
    }

    /// All parameters of the model made so far.
    package var parameters: [Parameter] { model.parameters }

    /// What the model's attention layers do with scores.
    package var attentionRules: Set<AttentionRule> { model.attentionRules }

    /// Notes what an attention layer does.
    func note(_ rule: AttentionRule) { model.attentionRules.insert(rule) }

    /// The linear layers of the model made so far that can be adapted.
    package var slots: [AdapterSlot] { model.slots }

    /// All linear layers of the model made so far.
    var linearLayers: [LinearProducts] { model.linearLayers }

    /// Lists a linear layer, whose place this is.
    func products(by weight: Parameter, isTransposed: Bool) -> LinearProducts {
        let products = LinearProducts(path, weight, isTransposed: isTransposed)
        model.linearLayers.append(products)
        return products
    }

    /// Lists a linear layer that can be adapted.
    func slot(of products: LinearProducts) -> AdapterSlot {
        let slot = AdapterSlot(products)
        model.slots.append(slot)
        return slot
    }

    /// Lists what can be adapted if its name is given.
    func note(_ slot: AdapterSlot) { model.slots.append(slot) }

    /// The name of this place.
    var name: String { path }

    /// A weight of products or look-ups.
    package func weight(_ shape: [Int]) -> Parameter {
        add("weight", shape, .normal(deviation: model.deviation), decays: true)
    }

    /// Weights of a layer's experts, a matrix each, which checkpoints store apart.
    ///
    /// - Parameters:
    ///   - name: of all of them.
    ///   - shape: [experts, rows, columns].
    ///   - parts: the names of an expert's matrices, which share its rows equally.
    ///   - choices: experts of a token.
    package func expertWeights(_ name: String, _ shape: [Int], parts: [String], choices: Int) -> Parameter {
        let share = Double(choices) / Double(max(1, shape[0]))
        let parameter = Parameter(
            "\(path).\(name)", shape, dtype: model.dtype,
            initialisation: .normal(deviation: model.deviation),
            pieces: ExpertPieces(path: path, parts: parts, usedShare: share))
        model.parameters.append(parameter)
        return parameter
    }

    /// Notes what experts a layer has.
    func note(_ sizes: ExpertSizes) { model.expertSizes.insert(sizes) }

    /// What experts the model's layers have, each once.
    package var expertSizes: Set<ExpertSizes> { model.expertSizes }

    /// What is added after a product.
    package func bias(_ size: Int) -> Parameter { add("bias", [size], .constant(0), decays: false) }

    /// What a norm multiplies by.
    package func normWeight(_ size: Int, start: Float = 1) -> Parameter {
        add("weight", [size], .constant(start), decays: false)
    }

    private func add(
        _ name: String, _ shape: [Int], _ initialisation: Parameter.Initialisation, decays: Bool
    ) -> Parameter {
        let parameter = Parameter(
            "\(path).\(name)", shape, dtype: model.dtype, initialisation: initialisation, decays: decays)
        model.parameters.append(parameter)
        return parameter
    }
}
