package import LigerRuntime

/// The adapters of a decoder, and the pass that their dropout is in.
package final class DecoderAdapters {
    package let options: LowRankOptions
    /// In the order of the layers.
    package fileprivate(set) var all: [LowRankAdapter] = []
    /// The number of the training pass at hand; nil outside of training, where nothing is dropped.
    private var pass: UInt32?
    private let seed: UInt64

    fileprivate init(_ options: LowRankOptions, seed: UInt64) {
        self.options = options
        self.seed = seed
    }

    /// The parameters of all adapters.
    package var parameters: [Parameter] { all.flatMap(\.parameters) }

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

    /// Names of the linear layers that can be adapted, in their order.
    package var adaptableLayers: [String] { slots.map(\.name) }

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
        for slot in slots where options.targets.contains(slot.name) {
            let stream = adapters.all.count
            let adapter = LowRankAdapter(slot, options) { [unowned adapters] in
                adapters.dropout(stream: stream)
            }
            slot.adapter = adapter
            adapters.all.append(adapter)
        }
        self.adapters = adapters
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
    }

    /// Puts what the adapters learned into the weights, and does away with the adapters.
    package func mergeAdapters() throws {
        for adapter in adapters?.all ?? [] { try adapter.merge() }
        for slot in slots { slot.adapter = nil }
        adapters = nil
    }

    /// What training changes: the adapters' parameters where there are some, else all.
    package var trainedParameters: [Parameter] { adapters?.parameters ?? parameters }

    /// Does `body`, forward and backward, as a training pass; its number decides what dropout drops.
    package func training<Result>(pass: Int, _ body: () throws -> Result) rethrows -> Result {
        try adapters?.training(pass: pass, body) ?? body()
    }
}
