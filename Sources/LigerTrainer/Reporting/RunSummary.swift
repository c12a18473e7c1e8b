/// How fast a run was, and what it took.
package struct RunSummary: Sendable, Equatable {
    /// The model of a GPU, or `cpu`.
    let device: String
    /// What computed attention on a GPU; nil for the processor.
    let attention: String?
    /// Of one rank. Without the first step, which compiles kernels, evaluations and checkpoints; nil if there was no other.
    let tokensPerSecond: Double?
    /// How many ranks there were, each with a device.
    let ranks: Int
    /// Of the model; nil where other work is done too.
    let work: ModelWork?
    /// What the device could do at best, in 10^12 operations a second, if known.
    let peakTeraflops: Double?
    /// The most that arrays held on the device.
    let peakBytes: Int
    /// What the driver calls used, by whomever, at the end; nil for the processor.
    let driverBytes: Int?

    package init(
        device: String, attention: String? = nil, tokensPerSecond: Double?, ranks: Int = 1,
        work: ModelWork?,
        peakTeraflops: Double?, peakBytes: Int,
        driverBytes: Int?
    ) {
        self.device = device
        self.attention = attention
        self.tokensPerSecond = tokensPerSecond
        self.ranks = ranks
        self.work = work
        self.peakTeraflops = peakTeraflops
        self.peakBytes = peakBytes
        self.driverBytes = driverBytes
    }

    private var teraflops: Double? {
        tokensPerSecond.flatMap { speed in work.map { $0.teraflops(tokensPerSecond: speed) } }
    }

    /// Of the device's best, from 0 to 1.
    private var utilisation: Double? {
        if let teraflops, let peakTeraflops { teraflops / peakTeraflops } else { nil }
    }

    /// A few lines for people.
    package var lines: [String] {
        var lines: [String] = []
        if let tokensPerSecond {
            let work = teraflops.map { ", \(Format.significant($0)) model TFLOP/s" } ?? ""
            let share =
                utilisation.map { ", \(Format.decimal(100 * $0, places: 1))% of the GPU's best" } ?? ""
            let each = ranks == 1 ? "" : " on each of \(ranks) ranks"
            lines.append(
                "speed   \(Format.decimal(tokensPerSecond, places: 0)) tokens/s\(each)\(work)\(share)")
        }
        if let attention { lines.append("        attention \(attention)") }
        let driver = driverBytes.map { ", \(Format.bytes($0)) used as the driver counts" } ?? ""
        lines.append("memory  \(Format.bytes(peakBytes)) in arrays at most\(driver)")
        return lines
    }

    /// One JSON object: `{"summary":{"device":"cpu",...}}`. What is not known is left out.
    package var json: String {
        var fields = ["\"device\":\"\(device)\""]
        if let attention { fields.append("\"attention\":\"\(attention)\"") }
        let numbers = [
            ("tokens_per_second", tokensPerSecond), ("model_teraflops", teraflops),
            ("model_flops_utilisation", utilisation),
        ]
        if ranks > 1 { fields.append("\"ranks\":\(ranks)") }
        for case (let key, let value?) in numbers { fields.append("\"\(key)\":\(value)") }
        fields.append("\"peak_array_bytes\":\(peakBytes)")
        if let driverBytes { fields.append("\"driver_bytes\":\(driverBytes)") }
        return "{\"summary\":{\(fields.joined(separator: ","))}}"
    }
}
