package import LigerKernels
package import LigerRuntime
package import Tile

/// How a GPU computes attention.
public enum AttentionMethod: String, Sendable, Hashable, CaseIterable, Codable {
    /// `flash` where it can be had, else `blocked`; a run says which.
    case auto
    /// By cuDNN in one pass (`FlashAttention`), or not at all.
    case flash
    /// By blocks of queries, with kernels of this package (`BlockedAttention`).
    case blocked
}

/// What computes attention of some sizes on a device.
package enum AttentionSelection: Sendable, Hashable {
    /// Head by head.
    case processor
    /// cuDNN of that version in that file.
    case flash(version: String, path: String)
    /// Blocks of queries; with the reason why not flash, unless nobody asked for it.
    case blocked(refusal: String?)
    /// cuDNN in some layers, and blocks in those that it refuses.
    case mixed(version: String, path: String, refusal: String)

    /// - Parameter isPacked: whether documents share rows.
    /// - Throws: `RuntimeError` if the method is `flash`, and the reason why that cannot be had.
    package init(
        _ method: AttentionMethod, _ shape: AttentionShape, _ dtype: DType, isPacked: Bool = false,
        on device: Device
    ) throws {
        if !device.isGPU {
            if method == .flash {
                throw RuntimeError("flash attention is for NVIDIA GPUs. Use --attention auto on \(device)")
            }
            self = .processor
            return
        }
        if method == .blocked {
            self = .blocked(refusal: nil)
            return
        }
        let packing = isPacked ? "documents share rows, which only blocks keep apart" : nil
        guard let refusal = packing ?? FlashAttention.refusal(shape, dtype: dtype, device: device) else {
            let library = try device.graphLibrary()
            self = .flash(version: library.versionText, path: library.path)
            return
        }
        if method == .flash {
            throw RuntimeError(
                "flash attention cannot be had: \(refusal)\nUse --attention auto to go without",
                kind: .library)
        }
        self = .blocked(refusal: refusal)
    }

    /// What computes the attention of layers that differ in what they do with scores.
    ///
    /// - Parameters:
    ///   - shape: that of all layers.
    ///   - isPacked: whether documents share rows.
    /// - Throws: as for one rule, if a layer cannot have the method.
    package init(
        _ method: AttentionMethod, _ shape: AttentionShape, rules: Set<AttentionRule>, _ dtype: DType,
        isPacked: Bool = false, on device: Device
    ) throws {
        let all = try (rules.isEmpty ? [.causal] : rules).map {
            try AttentionSelection(method, shape.with($0), dtype, isPacked: isPacked, on: device)
        }
        var (flash, refusal): ((version: String, path: String)?, String?)
        for selection in all {
            switch selection {
            case .flash(let version, let path): flash = (version, path)
            case .blocked(let reason?): refusal = reason
            default: break
            }
        }
        if let flash, let refusal {
            self = .mixed(version: flash.version, path: flash.path, refusal: refusal)
        } else {
            self = all[0]
        }
    }

    package var isFlash: Bool { if case .flash = self { true } else { false } }

    /// What decides the bits of its results: `flash, cuDNN 9.19.0` or `blocked`; nil on the processor, which has
    /// one way.
    package var name: String? {
        switch self {
        case .processor: nil
        case .flash(let version, _): "flash, cuDNN \(version)"
        case .blocked: "blocked"
        case .mixed(let version, _, _): "flash, cuDNN \(version), and blocked"
        }
    }

    /// The name and what there is to know, for people.
    package var summary: String? {
        switch self {
        case .processor: nil
        case .flash(_, let path): "\(name ?? "flash") (\(path))"
        case .blocked(nil): "blocked"
        case .mixed(let version, let path, let refusal):
            "flash, cuDNN \(version) (\(path)), and blocked in layers where flash attention cannot be had: \(refusal)"
        case .blocked(let refusal?): "blocked, for flash attention cannot be had: \(refusal)"
        }
    }

    /// The most bytes that a pass takes in addition to operands and results.
    ///
    /// - Throws: an error of cuDNN.
    func workspaceBytes(
        _ shape: AttentionShape, _ dtype: DType, on device: Device, isBackward: Bool
    ) throws -> Int {
        switch self {
        case .processor: CausalAttention.workspaceBytes(shape, dtype, isBackward: isBackward)
        case .flash:
            try FlashAttention.workspaceBytes(shape, dtype: dtype, device: device, isBackward: isBackward)
        case .blocked, .mixed:
            BlockedAttention.workspaceBytes(shape, dtype: dtype, isBackward: isBackward)
        }
    }
}
