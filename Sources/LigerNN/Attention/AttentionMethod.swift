package import LigerKernels
package import LigerRuntime
package import Tile

/// How a GPU computes attention.
public enum AttentionMethod: String, Sendable, Hashable, CaseIterable {
    /// `flash` where it can be had, else `blocked`.
    case auto
    /// `FlashAttention`, or an error.
    case flash
    /// `BlockedAttention`.
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

    /// Bytes that the backward pass takes on a GPU beside operands and results.
    ///
    /// - Throws: an error of cuDNN.
    package func workspaceBytes(_ shape: AttentionShape, _ dtype: DType, on device: Device) throws -> Int {
        switch self {
        case .processor: 0
        case .flash:
            try FlashAttention.workspaceBytes(shape, dtype: dtype, device: device, isBackward: true)
        case .blocked: BlockedAttention.workspaceBytes(shape, dtype: dtype, isBackward: true)
        }
    }
}
