import LigerNN
import LigerText

/// Which layers the tensors of an adapter's file belong to.
///
/// A module's tensors are named by it. Where PEFT adapts parameters of experts, it wraps the module that has them, once for
/// each: the tensors of the outer one are named by the module, those of the inner one by its `base_layer`.
struct AdapterLayers {
    /// What PEFT puts before a parameter's name.
    static let prefix = "base_model.model."
    private static let (gates, downs, wrapped) = ("gate_up_proj", "down_proj", ".base_layer")

    /// Names of layers and of experts' matrices, in order.
    let names: [String]

    /// - Throws: `CheckpointError` for a layer that the configuration does not name.
    init(of tensors: some Sequence<String>, _ configuration: AdapterConfiguration, in path: String) throws {
        let modules = Set(tensors.compactMap(Self.module(of:)))
        if modules.isEmpty {
            throw CheckpointError(
                path, "the tensors", found: "none named \(Self.prefix)LAYER.lora_A.weight",
                expected: "factors of at least one layer", advice: "Save the adapter again with PEFT.")
        }
        var names: [String] = []
        for module in modules.sorted() {
            guard let name = Self.name(of: module, among: modules, configuration) else {
                let targets: [String] =
                    if case .named(let names) = configuration.options.targets { names } else { [] }
                throw CheckpointError(
                    path, "layer \(module.quoted)", found: "factors",
                    expected: "factors of the target_modules alone: "
                        + (targets + configuration.parameters).joined(separator: ", "),
                    advice: "The two files do not belong together; fetch both again.")
            }
            names.append(name)
        }
        self.names = names
    }

    private static func module(of tensor: String) -> String? {
        let suffix = ".lora_A.weight"
        guard tensor.hasPrefix(prefix), tensor.hasSuffix(suffix) else { return nil }
        let name = tensor.dropFirst(prefix.count).dropLast(suffix.count)
        return name.isEmpty ? nil : String(name)
    }

    /// The name of what a module's factors adapt; nil if the configuration names nothing of it.
    private static func name(
        of module: String, among modules: Set<String>, _ configuration: AdapterConfiguration
    ) -> String? {
        let parameters = LowRankOptions.Targets.named(configuration.parameters)
        if module.hasSuffix(wrapped) {
            let outer = String(module.dropLast(wrapped.count))
            let isOne = modules.contains(outer) && parameters.contains("\(outer).\(gates)")
            return isOne ? "\(outer).\(gates)" : nil
        }
        if parameters.contains(module + ".weight") { return module }
        let own = [gates, downs].map { "\(module).\($0)" }.filter { parameters.contains($0) }
        if modules.contains(module + wrapped) { return own.last == "\(module).\(downs)" ? own.last : nil }
        if own.count == 1 { return own[0] }
        if case .named = configuration.options.targets, !configuration.hasPattern {
            return configuration.options.targets.contains(module) ? module : nil
        }
        return module
    }
}
