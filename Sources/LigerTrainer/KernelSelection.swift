/// Which parts of the model run on fused kernels; the others on the plain reference beside them.
public struct KernelSelection: Sendable, Equatable, Codable, CustomStringConvertible {
    /// A starting point for the switches.
    public enum Preset: String, Sendable, CaseIterable, Codable {
        /// Every fused kernel.
        case liger
        /// None: plain code that keeps what the kernels avoid, for comparison.
        case reference
    }

    /// A part with a switch.
    public enum Switch: String, Sendable, CaseIterable, Codable {
        case rope, rmsNorm, swiGLU, crossEntropy, fusedLinearCrossEntropy
    }

    private var enabled: Set<Switch>

    /// A preset, with single switches turned on or off.
    public init(_ preset: Preset, switches: [Switch: Bool] = [:]) {
        enabled = preset == .liger ? Set(Switch.allCases) : []
        for (part, isOn) in switches { self[part] = isOn }
    }

    /// Whether a part runs on its fused kernel.
    public subscript(part: Switch) -> Bool {
        get { enabled.contains(part) }
        set { if newValue { enabled.insert(part) } else { enabled.remove(part) } }
    }

    /// `liger`, `reference`, or the names of the fused parts.
    public var description: String {
        if enabled.count == Switch.allCases.count { return Preset.liger.rawValue }
        if enabled.isEmpty { return Preset.reference.rawValue }
        return Switch.allCases.filter { enabled.contains($0) }.map(\.rawValue).joined(separator: "+")
    }

    /// Reads the names of the fused parts.
    public init(from decoder: any Decoder) throws {
        enabled = Set(try decoder.singleValueContainer().decode([Switch].self))
    }

    /// Writes the names of the fused parts, in a fixed order.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Switch.allCases.filter { enabled.contains($0) })
    }
}
