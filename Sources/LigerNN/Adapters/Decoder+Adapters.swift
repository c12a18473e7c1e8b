package import LigerRuntime

/// The adapters of a decoder, and the pass that their dropout is in.
package final class DecoderAdapters {
    package let options: LowRankOptions
    /// Of linear layers, in their order.
    package fileprivate(set) var all: [LowRankAdapter] = []
    /// Of experts, in the order of the layers.
    package fileprivate(set) var experts: [ExpertAdapter] = []
    /// Names of routers among `all`, which PEFT has as parameters.
    package fileprivate(set) var routers: Set<String> = []
    /// The number of the training pass at hand; nil outside of training, where nothing is dropped.
    private var pass: UInt32?
    private let seed: UInt64

    fileprivate init(_ options: LowRankOptions, seed: UInt64) {
        self.options = options
        self.seed = seed
    }

    /// The parameters of all adapters.
    package var parameters: [Parameter] { all.flatMap(\.parameters) + experts.flatMap(\.parameters) }

    /// Does `body`, forward and backward, as a training pass whose number decides which inputs are dropped.
    package func training<Result>(pass: Int, _ body: () throws -> Result) rethrows -> Result {
        self.pass = UInt32(truncatingIfNeeded: pass)
        defer { self.pass = nil }
        return try body()
    }

    fileprivate func dropout(stream: Int) -> Dropout? {
        guard options.dropout > 0, let pass else { return nil }
        return Dropout(rate: Float(options.dropout), seed: seed, stream: UInt32(stream), pass: pass)
    }
}

extension Decoder {
    /// Streams of random numbers from here on are adapters'.
    private static let firstStream: UInt32 = 1 << 24

    /// Names of what can be adapted, in its order: linear layers, and experts' matrices.
    package var adaptableLayers: [String] { slots.map(\.name) }

    /// Why options cannot be had for what they name; nil if they can.
    package func hindrance(to options: LowRankOptions) -> String? {
        let named = slots.filter { $0.isTarget(of: options.targets) }
        // As PEFT: what is added to a matrix is computed before its input is there.
        guard let parameter = named.first(where: { $0.isOfExperts || $0.isNamedOnly }) else { return nil }
        if options.isWeightDecomposed {
            return "\(parameter.name) is a target, and PEFT has no DoRA of parameters"
        }
        if options.dropout > 0 {
            return "\(parameter.name) is a target, and PEFT has no dropout for parameters"
        }
        return nil
    }

    /// The parts of `targets` that no layer has.
    package func unknown(_ targets: LowRankOptions.Targets) -> [String] {
        guard case .named(let names) = targets else { return [] }
        return names.filter { target in
            !slots.contains { LowRankOptions.Targets.matches(target, $0.name) }
        }
    }

    /// Freezes all parameters, and gives the layers that `options` name adapters without memory. Every target must be
    /// known.
    ///
    /// - Parameter seed: decides the adapters' start, and what dropout drops.
    package func adapt(_ options: LowRankOptions, seed: UInt64) {
        precondition(adapters == nil, "a decoder is adapted once")
        precondition(unknown(options.targets).isEmpty, "targets are checked before")
        let adapters = DecoderAdapters(options, seed: seed)
        for parameter in parameters { parameter.requiresGradient = false }
        for slot in slots where slot.isTarget(of: options.targets) {
            if slot.isOfExperts {
                let (rank, scale) = options.ofExperts(slot.name)
                let adapter = ExpertAdapter(
                    slot, module: module(of: slot, options.targets), rank: rank, scale: scale)
                slot.experts = adapter
                adapters.experts.append(adapter)
                continue
            }
            if slot.isNamedOnly { adapters.routers.insert(slot.name) }
            let stream = adapters.all.count
            let adapter = LowRankAdapter(slot, options) { [unowned adapters] in
                adapters.dropout(stream: stream)
            }
            slot.adapter = adapter
            adapters.all.append(adapter)
        }
        self.adapters = adapters
    }

    /// What the tensors of experts' adapter are named by: the module that has the parameter. Where both of a module's
    /// parameters have one, PEFT wraps the second around the first.
    private func module(of slot: AdapterSlot, _ targets: LowRankOptions.Targets) -> String {
        let parts = slot.name.split(separator: ".")
        let module = parts.dropLast().joined(separator: ".")
        let isWrapped =
            parts.last == Substring(SparseFeedForward.gatesName)
            && targets.contains("\(module).\(SparseFeedForward.downsName)")
        return isWrapped ? module + ".base_layer" : module
    }

    /// Takes memory for the adapters.
    package func allocateAdapters(on device: Device) throws {
        for parameter in adapters?.parameters ?? [] { try parameter.allocate(on: device) }
    }

    /// Sets the adapters to their start; the weights must be there.
    package func initialiseAdapters(seed: UInt64) throws {
        for (index, adapter) in (adapters?.all ?? []).enumerated() {
            try adapter.initialise(seed: seed, stream: Self.firstStream + UInt32(index))
        }
        let next = Self.firstStream + UInt32(adapters?.all.count ?? 0)
        for (index, adapter) in (adapters?.experts ?? []).enumerated() {
            try adapter.initialise(seed: seed, stream: next + UInt32(index))
        }
    }

    /// Puts what the adapters learned into the weights, and does away with the adapters.
    package func mergeAdapters() throws {
        for adapter in adapters?.all ?? [] { try adapter.merge() }
        for adapter in adapters?.experts ?? [] { try adapter.merge() }
        for slot in slots { (slot.adapter, slot.experts) = (nil, nil) }
        adapters = nil
    }

    /// What training changes: the adapters' parameters where there are some, else all.
    package var trainedParameters: [Parameter] { adapters?.parameters ?? parameters }

    /// Does `body`, forward and backward, as a training pass; its number decides what dropout drops.
    package func training<Result>(pass: Int, _ body: () throws -> Result) rethrows -> Result {
        try adapters?.training(pass: pass, body) ?? body()
    }
}

extension AdapterSlot {
    /// Whether options with these targets adapt it.
    fileprivate func isTarget(of targets: LowRankOptions.Targets) -> Bool {
        targets == .all ? !isNamedOnly : targets.contains(name)
    }
}
