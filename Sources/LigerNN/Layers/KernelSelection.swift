/// Which parts of a model run on fused kernels; the others run written out, as `Reference` has them.
public struct KernelSelection: Sendable, Hashable, Codable, CustomStringConvertible {
    /// A starting point for the switches.
    public enum Preset: String, Sendable, CaseIterable, Codable {
        /// Every fused kernel.
        case liger
        /// None: plain code that keeps what the kernels avoid, for comparison.
        case reference
    }

    /// A part with a switch.
    public enum Switch: String, Sendable, CaseIterable, Codable {
        /// Rotary embedding.
        case rope
        /// RMS normalisation.
        case rmsNorm
        /// The gate of the feed-forward layer, and what sends tokens to experts and adds up what these make of them.
        case swiGLU
        /// Loss from logits that exist all at once; `fusedLinearCrossEntropy` goes before it.
        case crossEntropy
        /// Loss from hidden states, with logits in chunks.
        case fusedLinearCrossEntropy

        fileprivate var bit: UInt8 {
            switch self {
            case .rope: 1
            case .rmsNorm: 2
            case .swiGLU: 4
            case .crossEntropy: 8
            case .fusedLinearCrossEntropy: 16
            }
        }
    }

    /// Every fused kernel.
    public static let liger = KernelSelection(.liger)
    /// No fused kernel.
    public static let reference = KernelSelection(.reference)

    private var bits: UInt8 = 0

    /// A preset, with single switches turned on or off.
    public init(_ preset: Preset, switches: [Switch: Bool] = [:]) {
        if preset == .liger { for part in Switch.allCases { self[part] = true } }
        for (part, isOn) in switches { self[part] = isOn }
    }

    /// Whether a part runs on its fused kernel.
    public subscript(part: Switch) -> Bool {
        get { bits & part.bit != 0 }
        set { if newValue { bits |= part.bit } else { bits &= ~part.bit } }
    }

    private var parts: [Switch] { Switch.allCases.filter { self[$0] } }

    /// `liger`, `reference`, or the names of the fused parts.
    public var description: String {
        switch self {
        case .liger: Preset.liger.rawValue
        case .reference: Preset.reference.rawValue
        default: parts.map(\.rawValue).joined(separator: "+")
        }
    }

    /// Reads the names of the fused parts.
    public init(from decoder: any Swift.Decoder) throws {
        for part in try decoder.singleValueContainer().decode([Switch].self) { self[part] = true }
    }

    /// Writes the names of the fused parts, in a fixed order.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(parts)
    }
}
