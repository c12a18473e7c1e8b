import Tile

/// Where a thread waits until the other blocks of its cluster have begun: once on every path, before the first write to
/// their shared memory. So it waits before a loop, and at the end of a branch that has no such write.
struct ClusterPlan {
    /// A place in the kernel.
    enum Point: Hashable {
        /// The exchange of a phase's reductions.
        case exchange(phase: Int)
        case loop(Int)
        /// The end of a conditional's branch.
        case branch(Int, of: Int)
        case end
    }

    /// Whether the program's blocks form a cluster and exchange what they found.
    private(set) var isCluster = false
    private(set) var waits: Set<Point> = []

    init() {}

    init(isCluster: Bool, _ nodes: [PlanNode], _ folds: [FoldPlan?]) {
        self.isCluster = isCluster
        if isCluster && visit(nodes, folds, isPending: true) { waits.insert(.end) }
    }

    /// - Returns: whether the wait is still to come.
    private mutating func visit(_ nodes: [PlanNode], _ folds: [FoldPlan?], isPending: Bool) -> Bool {
        var isPending = isPending
        for node in nodes where isPending {
            switch node {
            case .section: continue
            case .phase(let number):
                guard let fold = folds[number], fold.warps > 1 else { continue }
                waits.insert(.exchange(phase: number))
            case .loop(let loop): waits.insert(.loop(loop.number))
            case .conditional(let conditional):
                for (i, branch) in conditional.branches.enumerated()
                where visit(branch, folds, isPending: true) {
                    waits.insert(.branch(i, of: conditional.number))
                }
            }
            isPending = false
        }
        return isPending
    }
}
