package import LigerNN
import LigerText
package import Platform

/// What PEFT's `adapter_config.json` says of a LoRA or DoRA adapter.
///
/// Whatever would change the result and is not honoured here is refused by its name, also where a later PEFT added it.
package struct AdapterConfiguration: Sendable, Equatable {
    /// The name of the file in an adapter's folder.
    package static let fileName = "adapter_config.json"

    /// Rank, scale and targets.
    package var options: LowRankOptions
    /// `target_parameters`: routers' weights, and matrices of all experts of a layer.
    package var parameters: [String] = []
    /// `base_model_name_or_path`: the model that was adapted.
    package var base: String?
    /// Whether the targets are given by a pattern, so that only the tensors say which layers there are.
    package private(set) var hasPattern = false

    package init(_ options: LowRankOptions, base: String?) {
        (self.options, self.base) = (options, base)
    }

    /// Reads the file in `folder`.
    ///
    /// - Throws: one `CheckpointError` with every problem.
    package init(folder: URL) throws {
        let path = folder.appendingPathComponent(Self.fileName).path
        try self.init(parsing: try ReadOnlyFile.contents(of: path, limit: 10_000_000), file: path)
    }

    /// Reads the file's bytes; `file` stands for its path in messages.
    package init(parsing bytes: [UInt8], file: String) throws {
        guard case .object(let members) = try JSONValue(parsing: bytes, file: file) else {
            throw CheckpointError(
                file, "the file", found: "something else", expected: "a JSON object",
                advice: "Save the adapter again with PEFT's save_pretrained.")
        }
        var reader = AdapterKeys(members.dictionary, file: file)
        options = LowRankOptions(
            rank: reader.integer("r", in: 1...65_536),
            alpha: reader.number("lora_alpha", "a finite number") { $0.isFinite && Float($0).isFinite },
            dropout: reader.number("lora_dropout", "at least 0 and below 1", default: 0) {
                $0 >= 0 && $0 < 1
            },
            isRankStabilised: reader.flag("use_rslora"), isWeightDecomposed: reader.flag("use_dora"))
        parameters = reader.names("target_parameters")
        (options.targets, hasPattern) = reader.targets(mayBeNone: !parameters.isEmpty)
        reader.chooseTargets()
        options.gates = reader.gates(rank: options.rank, alpha: options.alpha)
        base = reader.text("base_model_name_or_path")
        try reader.finish()
    }

    /// The file's text.
    ///
    /// - Parameter layers: names of all adapted layers but those of `parameters`, which `all` targets are written as.
    package func serialized(layers: [String]) -> [UInt8] {
        let names: [String] =
            switch options.targets {
            case .all: Set(layers.map { String($0.split(separator: ".").last ?? "") }).sorted()
            case .named(let names): parameters.isEmpty ? names : layers
            }
        // PEFT's patterns are expressions for the whole name.
        func pattern(_ value: JSONValue?) -> JSONValue {
            .object(value.map { [AdapterKeys.gatesPattern: $0] } ?? [:])
        }
        let members: [String: JSONValue] = [
            "peft_type": .string("LORA"), "task_type": .string("CAUSAL_LM"), "inference_mode": .bool(true),
            "base_model_name_or_path": base.map { .string($0) } ?? .null,
            "r": .integer(options.rank), "lora_alpha": Self.number(options.alpha),
            "lora_dropout": .number(options.dropout), "target_modules": .array(names.map { .string($0) }),
            "use_rslora": .bool(options.isRankStabilised), "use_dora": .bool(options.isWeightDecomposed),
            "bias": .string("none"), "fan_in_fan_out": .bool(false), "init_lora_weights": .bool(true),
            "modules_to_save": .null, "rank_pattern": pattern(options.gates.map { .integer($0.rank) }),
            "alpha_pattern": pattern(options.gates.map { Self.number($0.alpha) }),
            "target_parameters": parameters.isEmpty ? .null : .array(parameters.map { .string($0) }),
        ]
        return Array((JSONValue.object(members).serialized() + "\n").utf8)
    }

    private static func number(_ value: Double) -> JSONValue {
        Int(exactly: value).map { .integer($0) } ?? .number(value)
    }
}
