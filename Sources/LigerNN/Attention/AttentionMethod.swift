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

    /// - Throws: `RuntimeError` if the method is `flash`, and the reason why that cannot be had.
    package init(_ method: AttentionMethod, _ shape: AttentionShape, _ dtype: DType, on device: Device) throws
    {
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
        guard let refusal = FlashAttention.refusal(shape, dtype: dtype, device: device) else {
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

    package var isFlash: Bool { if case .flash = self { true } else { false } }

    /// What decides the bits of its results: `flash, cuDNN 9.19.0` or `blocked`; nil on the processor, which has
    /// one way.
    package var name: String? {
        switch self {
        case .processor: nil
        case .flash(let version, _): "flash, cuDNN \(version)"
        case .blocked: "blocked"
        }
    }

    /// The name and what there is to know, for people.
    package var summary: String? {
        switch self {
        case .processor: nil
        case .flash(_, let path): "\(name ?? "flash") (\(path))"
        case .blocked(nil): "blocked"
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
        case .blocked: BlockedAttention.workspaceBytes(shape, dtype: dtype, isBackward: isBackward)
        }
    }
}
