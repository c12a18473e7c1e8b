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

    /// - Parameter copies: models that are trained at a time.
    /// - Returns: a warning if the run may not fit; nil if it should.
    /// - Throws: `TrainerError` (`memoryTooSmall`) if it cannot fit, or is far from it, unless the options say to go
    ///   on: better now than after minutes.
    package static func run(
        _ estimate: MemoryEstimate, _ options: TrainingOptions, on device: Device, available: Int?,
        copies: Int = 1
    ) throws -> String? {
        guard let available else { return nil }
        let (least, total) = (copies * estimate.least, copies * estimate.total)
        let free = "\(Format.bytes(available)) of memory free on \(options.device)"
        let less = options.execution.recompute == .auto ? "" : ", or give --recompute auto"
        let lower = "Lower --batch or --seq and raise --accumulate\(less)"
        let isMeant = options.memoryLimit == .ignored
        if least > available, !isMeant {
            throw TrainerError(
                .memoryTooSmall,
                "There are \(free), but weights, gradients and optimiser alone take \(Format.bytes(least)).",
                remedy: advice(options, device, ofSeveral: estimate.exchange > 0))
        }
        guard total > available else { return nil }
        if Double(total) > margin * Double(available), !isMeant {
            throw TrainerError(
                .memoryTooSmall, "There are \(free), but the run takes about \(Format.bytes(total)).",
                remedy: "\(lower). --ignore-memory starts it all the same.")
        }
        return "warning: the run may take \(Format.bytes(total)), and there are \(free). \(lower)"
    }

    /// What would make weights and their company smaller.
    static func advice(_ options: TrainingOptions, _ device: Device, ofSeveral: Bool) -> String {
        if options.dtype == .f32 { return "Give --dtype bf16, or a smaller --model." }
        var smaller: [String] = []
        if ofSeveral && options.execution.shard == .none { smaller.append("--shard optimizer") }
        if options.execution.masters == .f32 { smaller.append("--masters stochastic") }
        if options.execution.moments != .u8 { smaller.append("--moments u8") }
        if options.execution.gradients != .bf16 { smaller.append("--gradients bf16") }
        if options.execution.updates != .inBackward && options.accumulate == 1 && !options.execution.graph {
            smaller.append("--update-in-backward")
        }
        let others = device.model == nil ? "" : ", or end other processes on the GPU (nvidia-smi lists them)"
        return smaller.isEmpty
            ? "Give a smaller --model\(others)."
            : "Give \(smaller.joined(separator: " ")), or a smaller --model\(others)."
    }
}
