package import LigerRuntime
internal import Tile

/// Compares what a run will take with what its device has free.
package enum MemoryCheck {
    /// Bytes that can be had on a device now; nil if the system does not say.
    package static func available(on device: Device) throws -> Int? {
        try device.driverMemory()?.free ?? ProcessMemory.available()
    }

    /// How far above free memory an estimate is taken for certain.
    static let margin = 1.5

    /// Where a run would be.
    package enum Place: Sendable {
        /// On the device at hand, of whose memory others may give some back.
        case here
        /// On a device of a certain size, which is not here: what does not fit will not.
        case planned
    }

    /// - Parameter copies: models that are trained at a time.
    /// - Returns: a warning if the run may not fit; nil if it should.
    /// - Throws: `TrainerError` (`memoryTooSmall`) if it cannot fit, or is far from it, or on a planned device does not fit,
    ///   unless the options say to go on: better now than after minutes.
    package static func run(
        _ estimate: MemoryEstimate, _ options: TrainingOptions, on device: Device, available: Int?,
        copies: Int = 1, _ place: Place = .here
    ) throws -> String? {
        guard let available else { return nil }
        let (least, total) = (copies * estimate.least, copies * estimate.total)
        let free = "\(Format.bytes(available)) of memory free on \(options.device)"
        let lower = "Lower --batch or --seq and raise --accumulate\(alternatives(options, device))"
        let isMeant = options.memoryLimit == .ignored
        if least > available, !isMeant {
            throw TrainerError(
                .memoryTooSmall,
                "There are \(free), but weights, gradients and optimiser alone take \(Format.bytes(least)).",
                remedy: advice(options, device, ofSeveral: estimate.exchange > 0))
        }
        guard total > available else { return nil }
        let limit = place == .here ? margin * Double(available) : Double(available)
        if Double(total) > limit, !isMeant {
            throw TrainerError(
                .memoryTooSmall, "There are \(free), but the run takes about \(Format.bytes(total)).",
                remedy: "\(lower). --ignore-memory "
                    + (place == .here ? "starts it all the same." : "plans it all the same."))
        }
        return "warning: the run may take \(Format.bytes(total)), and there are \(free). \(lower)"
    }

    /// What else makes a batch smaller, and with an adapter the weights.
    private static func alternatives(_ options: TrainingOptions, _ device: Device) -> String {
        var others: [String] = []
        switch options.execution.recompute {
        case .none, .selective: others = ["--recompute blocks", "--recompute auto"]
        case .blocks, .auto: break
        }
        if holdsFloat8(options, device) { others.append("--products fp8") }
        guard let last = others.popLast() else { return "" }
        return ", or give " + (others.isEmpty ? last : "\(others.joined(separator: ", ")) or \(last)")
    }

    /// What would make weights and their company smaller.
    static func advice(_ options: TrainingOptions, _ device: Device, ofSeveral: Bool) -> String {
        if options.dtype == .f32 { return "Give --dtype bf16, or a smaller --model." }
        var ways = [smaller(options, device, ofSeveral: ofSeveral)].filter { !$0.isEmpty }
        if !options.adapter.isUsed { ways.append("--lora-rank 16 to train an adapter") }
        ways.append("a smaller --model")
        let isShared = (try? device.driverMemory()).flatMap { $0 }.map { $0.free < $0.total } ?? false
        if isShared { ways.append("end other processes on the GPU (nvidia-smi lists them)") }
        return "Give \(ways.joined(separator: ", or "))."
    }

    /// Options that store the same in fewer bytes.
    private static func smaller(_ options: TrainingOptions, _ device: Device, ofSeveral: Bool) -> String {
        let execution = options.execution
        // Of an adapter only the frozen weights are large.
        if options.adapter.isUsed { return holdsFloat8(options, device) ? "--products fp8" : "" }
        var smaller: [String] = []
        if ofSeveral && execution.shard == .none { smaller.append("--shard optimizer") }
        if execution.masters == .f32 { smaller.append("--masters stochastic") }
        if execution.moments != .u8 { smaller.append("--moments u8") }
        if execution.gradients != .bf16 { smaller.append("--gradients bf16") }
        if execution.updates != .inBackward && options.accumulate == 1 && !execution.graph {
            smaller.append("--update-in-backward")
        }
        return smaller.joined(separator: " ")
    }

    /// Whether frozen weights could be held in 8 bits, and are not.
    private static func holdsFloat8(_ options: TrainingOptions, _ device: Device) -> Bool {
        options.adapter.isUsed && device.isGPU && device.traits.multipliesFloat8
            && options.execution.products != .fp8
    }
}
