import LigerRuntime

/// Which operations run as fused kernels; the others run written out, as `Reference` has them.
public struct KernelChoice: Sendable, Hashable, CustomStringConvertible {
    /// Rotary embedding.
    public var rope: Bool
    /// RMS normalisation.
    public var rmsNorm: Bool
    /// The gate of the feed-forward layer.
    public var swiGLU: Bool
    /// Loss over logits that are whole in memory; `fusedLinearCrossEntropy` goes before it.
    public var crossEntropy: Bool
    /// Loss from hidden states, logits never whole.
    public var fusedLinearCrossEntropy: Bool

    /// Every fused kernel.
    public static let liger = KernelChoice(all: true)
    /// No fused kernel.
    public static let reference = KernelChoice(all: false)

    private init(all: Bool) {
        rope = all
        rmsNorm = all
        swiGLU = all
        crossEntropy = all
        fusedLinearCrossEntropy = all
    }

    private static let names = ["rope", "rmsNorm", "swiGLU", "crossEntropy", "fusedLinearCrossEntropy"]

    /// The switch of each of `names`.
    private static func path(of name: String) -> WritableKeyPath<KernelChoice, Bool>? {
        switch name {
        case "rope": \.rope
        case "rmsNorm": \.rmsNorm
        case "swiGLU": \.swiGLU
        case "crossEntropy": \.crossEntropy
        case "fusedLinearCrossEntropy": \.fusedLinearCrossEntropy
        default: nil
        }
    }

    /// A choice from text: `liger` or `reference`, then any number of `-name` or `+name` to switch one
    /// kernel off or on, such as `liger-rope` or `reference+rmsNorm+swiGLU`.
    ///
    /// - Throws: `RuntimeError` naming the part that is not understood and the names there are.
    public init(parsing text: String) throws {
        let start = text.prefix { $0 != "-" && $0 != "+" }
        switch start {
        case "liger": self = .liger
        case "reference": self = .reference
        default: throw Self.misunderstood(start, in: text)
        }
        var rest = text.dropFirst(start.count)
        while let sign = rest.popFirst() {
            let name = rest.prefix { $0 != "-" && $0 != "+" }
            guard let path = Self.path(of: String(name)) else {
                throw Self.misunderstood(name, in: text)
            }
            self[keyPath: path] = sign == "+"
            rest = rest.dropFirst(name.count)
        }
    }

    private static func misunderstood(_ part: Substring, in text: String) -> RuntimeError {
        RuntimeError(
            "'\(part)' in the kernels '\(text)' is not known. Use liger or reference, then -name or +name of "
                + names.joined(separator: ", "))
    }

    /// The text that `init(parsing:)` reads as this choice.
    public var description: String {
        let isOn = { (name: String) in Self.path(of: name).map { self[keyPath: $0] } ?? false }
        let (on, off) = (Self.names.filter(isOn), Self.names.filter { !isOn($0) })
        return on.count > off.count
            ? "liger" + off.map { "-" + $0 }.joined() : "reference" + on.map { "+" + $0 }.joined()
    }
}
