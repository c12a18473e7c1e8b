extension FusedLinearPreference.DPO {
    /// The losses by the names that TRL has for them.
    public enum Name: String, Sendable, Hashable, CaseIterable {
        case sigmoid, hinge
        case exoPair = "exo_pair"
        case ncaPair = "nca_pair"
        case robust
        case bcoPair = "bco_pair"
        case sppoHard = "sppo_hard"
        case apoZero = "apo_zero"
        case apoDown = "apo_down"
        case discoPOP = "discopop"

        /// The label smoothings that the loss is defined for; those that have none take what all losses of pairs take.
        public var labelSmoothings: Range {
            switch self {
            case .exoPair: ("above 0 and below 1", { $0 > 0 && $0 < 1 })
            case .robust: ("at least 0 and below 0.5", { $0 >= 0 && $0 < 0.5 })
            default: ("from 0 to 1", { (0...1).contains($0) })
            }
        }
    }

    /// The numbers that an option may be, in words behind "must be" and as a test.
    public typealias Range = (words: String, contains: @Sendable (Float) -> Bool)

    /// The loss of a name.
    ///
    /// - Parameters:
    ///   - labelSmoothing: of those that have it.
    ///   - tau: DiscoPOP's.
    public init(_ name: Name, labelSmoothing: Float = 0, tau: Float = 0.05) {
        self =
            switch name {
            case .sigmoid: .sigmoid
            case .hinge: .hinge
            case .exoPair: .exoPair(labelSmoothing: labelSmoothing)
            case .ncaPair: .ncaPair
            case .robust: .robust(labelSmoothing: labelSmoothing)
            case .bcoPair: .bcoPair
            case .sppoHard: .sppoHard
            case .apoZero: .apoZero
            case .apoDown: .apoDown
            case .discoPOP: .discoPOP(tau: tau)
            }
    }
}
