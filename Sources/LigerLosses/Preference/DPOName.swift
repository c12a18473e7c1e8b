extension FusedLinearPreference.DPO {
    /// The losses by the names that TRL has for them.
    public enum Name: String, Sendable, Hashable, CaseIterable {
        /// The logistic loss of the paper on DPO.
        case sigmoid
        /// A hinge in the place of the logistic loss, as in SLiC.
        case hinge
        /// The reverse divergence from smoothed labels, EXO for pairs.
        case exoPair = "exo_pair"
        /// Noise contrastive alignment for pairs.
        case ncaPair = "nca_pair"
        /// For pairs of which a known share is the wrong way round.
        case robust
        /// A classifier of good and bad answers, BCO for pairs.
        case bcoPair = "bco_pair"
        /// Squared distances from a win and a loss, SPPO with hard labels.
        case sppoHard = "sppo_hard"
        /// Anchored: chosen answers become likelier, rejected ones less likely.
        case apoZero = "apo_zero"
        /// Anchored: both become less likely, rejected ones more so.
        case apoDown = "apo_down"
        /// The mixture of a logistic and an exponential loss that a search found.
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
    ///   - name: as TRL has it.
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
