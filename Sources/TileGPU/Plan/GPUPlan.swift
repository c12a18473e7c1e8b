package import Tile

/// A kernel that cannot be mapped to threads, and what to change.
package struct LoweringError: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

/// All that is decided about a kernel on a GPU before its first instruction is written. The emitter only reads it.
package struct GPUPlan {
    let function: TileFunction
    let layouts: [GPULayout]
    let schedule: GPUSchedule
    let limits: GPULimits
    let facts: AccessFacts

    /// By number of the length.
    fileprivate(set) var lengths: [LengthPlan] = []
    fileprivate(set) var phases = PhasePlan()
    /// By phase.
    fileprivate(set) var folds: [FoldPlan?] = []
    fileprivate(set) var memory = MemoryPlan()
    /// By phase, by the position in its operations.
    fileprivate(set) var accesses: [[Access?]] = []
    fileprivate(set) var homes: [ValueID: TileHome] = [:]
    fileprivate(set) var cluster = ClusterPlan()
    fileprivate(set) var product: ProductPlan?

    /// Plans a verified function.
    ///
    /// - Throws: `LoweringError` where a tile that must be kept fits neither registers nor memory.
    package init(
        _ function: TileFunction, layouts: [GPULayout], schedule: GPUSchedule? = nil,
        limits: GPULimits = GPULimits()
    ) throws {
        self.function = function
        self.layouts = layouts
        self.schedule =
            schedule ?? GPUSchedule(function, layouts: layouts, warp: limits.warpThreads)
        self.limits = limits
        facts = AccessFacts(function, layouts, vector: self.schedule.vector)
        try checkProduct()
        for pass in Self.passes { try pass.run(&self) }
        try checkLimits()
    }

    /// That the GPU has what the schedule asks for.
    private func checkLimits() throws {
        func refuse(_ what: String) -> LoweringError {
            LoweringError(description: "kernel \(function.name): the schedule asks for \(what)")
        }
        if cluster.isCluster && !limits.hasClusters {
            throw refuse("blocks that meet in a cluster, which this GPU lacks. Serve a program by one block")
        }
        let isWhole =
            schedule.threads <= limits.warpThreads || schedule.threads % limits.warpThreads == 0
        if product == nil && !isWhole {
            throw refuse(
                "\(schedule.threads) threads a program, where a warp has \(limits.warpThreads). Take whole warps"
            )
        }
    }

    /// That blocks of columns, a product and its schedule come together.
    private func checkProduct() throws {
        let hasProduct = !function.products.isEmpty
        if hasProduct && !limits.multiplies {
            throw LoweringError(
                description:
                    "kernel \(function.name): it multiplies matrices itself, which is not written for "
                    + "this GPU. Use the library's product there")
        }
        if hasProduct == (schedule.product != nil) && (hasProduct || function.columnBlocks == nil) { return }
        throw LoweringError(
            description:
                "kernel \(function.name): a product, blocks of columns and a schedule for them are not "
                + "all there. On a GPU blocks are a product's, and a product has a schedule of its own")
    }
}

/// One step of planning: a function from what was decided before to one more value.
package struct PlanningPass: Sendable {
    package let name: String
    /// What is decided, in a line.
    package let summary: String
    fileprivate let run: @Sendable (inout GPUPlan) throws -> Void
    let lines: @Sendable (GPUPlan) -> [String]
}

extension GPUPlan {
    /// Every pass, in order: each reads only what those before it have decided.
    package static let passes = [
        PlanningPass(
            name: "lengths", summary: "which lanes a thread owns, and whether registers hold them",
            run: { plan in
                plan.lengths = plan.function.extents.enumerated().map {
                    LengthPlan($1, number: $0, plan.schedule, plan.facts)
                }
            },
            lines: \.lengthLines),
        PlanningPass(
            name: "phases", summary: "the order of work: what each pass over a length computes",
            run: { $0.phases = PhasePlan($0.function, $0.lengths) },
            lines: \.phaseLines),
        PlanningPass(
            name: "folds", summary: "how reductions are folded over threads",
            run: { plan in
                plan.folds = plan.phases.phases.map { FoldPlan($0, plan.schedule, plan.limits) }
            }, lines: \.foldLines),
        PlanningPass(
            name: "memory", summary: "what shared and local memory hold, and where",
            run: { $0.memory = try MemoryPlanner.plan($0) },
            lines: \.memoryLines),
        PlanningPass(
            name: "accesses", summary: "how each load and store moves a thread's lanes",
            run: { $0.accesses = AccessPlanner.plan($0) },
            lines: \.accessLines),
        PlanningPass(
            name: "tiles", summary: "where each tile is until its last use",
            run: { $0.homes = TilePlanner.homes($0) },
            lines: \.tileLines),
        PlanningPass(
            name: "cluster", summary: "where a block waits until the others have begun",
            run: { plan in
                let isCluster = plan.schedule.blocks > 1 && plan.function.body.reduces
                plan.cluster = ClusterPlan(isCluster: isCluster, plan.phases.nodes, plan.folds)
            }, lines: \.clusterLines),
        PlanningPass(
            name: "product", summary: "how a product is cut into tiles, and what shared memory holds",
            run: { plan in
                plan.product = try plan.schedule.product.map {
                    try ProductPlan(
                        plan.function, plan.layouts, $0, plan.facts.divisors, plan.limits)
                }
            }, lines: \.productLines),
    ]
}
