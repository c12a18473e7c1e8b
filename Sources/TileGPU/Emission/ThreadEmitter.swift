package import Tile

extension ThreadFunction {
    /// Maps a verified function to threads.
    ///
    /// - Parameter sharedLimit: bytes of shared memory that a block may take.
    /// - Throws: `LoweringError` where a tile that must be kept fits neither registers nor memory.
    package init(
        _ function: TileFunction, layouts: [GPULayout], schedule: GPUSchedule? = nil,
        sharedLimit: Int = GPULimits().sharedBytes
    ) throws {
        try self.init(
            GPUPlan(
                function, layouts: layouts, schedule: schedule,
                limits: GPULimits(sharedBytes: sharedLimit)))
    }

    /// Writes a planned kernel's instructions.
    package init(_ plan: GPUPlan) throws {
        let emitter = ThreadEmitter(plan)
        try emitter.emitKernel()
        self.init(
            name: plan.function.name, views: plan.function.views, scalars: plan.function.scalars,
            messages: plan.function.messages, schedule: plan.schedule, registers: emitter.out.registers,
            body: emitter.out.statements,
            sharedBytes: plan.product?.sharedBytes ?? plan.memory.sharedBytes,
            localBytes: plan.memory.localBytes,
            clusterBlocks: plan.product?.tiling.cluster
                ?? (plan.cluster.isCluster ? plan.schedule.blocks : 1), maps: plan.product?.maps ?? [],
            columnBlocks: plan.function.columnBlocks, warpThreads: plan.limits.warpThreads)
    }
}

/// Writes one thread's instructions as a plan says. It holds what has been written: registers of values and addresses.
/// What is done, and how, is the plan's.
///
/// Lane e of the tiles that a thread holds is vector e / V of the thread, element e % V in it.
final class ThreadEmitter {
    let plan: GPUPlan
    let parameters: ParameterLayout
    var out = ThreadBuilder()
    /// The thread's place in the launch.
    var place = ThreadPlace()
    /// By length: the first lane of the thread's first vector, where rows start at any address, and how far they are from
    /// the multiple of 16 bytes before.
    var shifts: [Int: (firstLane: Register, distance: Register)] = [:]
    /// Sizes and strides of views.
    var views: [ViewRegisters] = []

    /// Scalars: one register each; and those that are constants.
    var scalars: [ValueID: Register] = [:]
    var constants: Set<ValueID> = []
    /// Tiles in registers: one for each lane the thread owns, or for two where the tile is packed.
    var tiles: [ValueID: [Register]] = [:]
    /// Lanes of packed and staged tiles that the present phase has rematerialised.
    var rematerialised: [ValueID: [Register]] = [:]
    var addresses = AddressRegisters()
    /// The innermost loop being written.
    var loop: LoopRegisters?
    /// By loop.
    var rings: [Int: RingRegisters] = [:]
    /// Registers that are set before anything else, and to what.
    var initial: [(Register, Int)] = []
    /// Of a product: the column block of the tile at hand, and each product's lanes of the present row.
    var columnBlock: Register?
    var rowLanes: [ValueID: [Register]] = [:]
    /// Whether lanes of a product's tile may not exist.
    var guardsLanes = true

    init(_ plan: GPUPlan) {
        self.plan = plan
        parameters = ParameterLayout(
            views: plan.function.views, scalars: plan.function.scalars, maps: plan.product?.maps.count ?? 0)
    }

    var function: TileFunction { plan.function }
    var schedule: GPUSchedule { plan.schedule }

    func length(_ extent: ExtentID) -> LengthPlan { plan.lengths[extent.number] }

    func emitKernel() throws {
        guard let condition = function.condition else { return try emitWork() }
        let address = out.parameter(.b64, parameters.views[condition])
        let value = out.make(.f32, .load(.global, .f32, offset: 0), [.register(address)])
        let runs = out.compare(.notEqual, .f32, .register(value), .float(0))
        let work = try nested { try emitWork() }
        out.append(.conditional(runs, then: work, otherwise: []))
    }

    private func emitWork() throws {
        if let product = plan.product { return try emit(product) }
        findPlace()
        // Sizes and strides are read up front, so that every branch finds them.
        views = function.views.enumerated().map { ViewRegisters($0, $1.rank, parameters, &out) }
        findShifts()
        let count = programCount()
        let isInside = out.compare(.less, .s64, .register(place.program), .register(count))
        let body = try nested {
            if plan.cluster.isCluster { out.emit(.clusterArrive, []) }
            try emit(plan.phases.nodes)
            waitForPeers(at: .end)
        }
        for (register, value) in initial { out.move(.integer(value), to: register) }
        out.append(.conditional(isInside, then: body, otherwise: []))
    }

    /// Programs of the launch that have work to do.
    func programCount() -> Register {
        let count = out.parameter(.b64, parameters.programs)
        guard let limit = function.limit else { return count }
        let address = out.parameter(.b64, parameters.views[limit])
        let value = out.make(.b32, .load(.global, .i32, offset: 0), [.register(address)])
        let below = out.make(.b64, .convert(from: .s32, to: .s64), [.register(value)])
        return out.make(.b64, .arithmetic(.minimum, .s64), [.register(count), .register(below)])
    }

    /// Program and thread within it, from block and thread numbers.
    private func findPlace() {
        place.threadInBlock = out.make(.b32, .threadIndex, [])
        let block = out.make(.b32, .blockIndex, [])
        let wideBlock = out.make(.b64, .convert(from: .u32, to: .s64), [.register(block)])
        if schedule.blocks > 1 {
            findPlaceAmongBlocks(wideBlock)
        } else if schedule.programsPerBlock == 1 {
            place.thread = place.threadInBlock
            place.program = wideBlock
        } else {
            let inBlock = Source.register(place.threadInBlock)
            place.thread = out.b32(.and, .u32, inBlock, .integer(schedule.threads - 1))
            let shift = schedule.threads.trailingZeroBitCount
            let within = out.b32(.shiftRight, .u32, inBlock, .integer(shift))
            let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(within)])
            let base = out.b64(.multiply, .register(wideBlock), .integer(schedule.programsPerBlock))
            place.program = out.b64(.add, .register(base), .register(wide))
        }
        place.firstLane = out.b32(.multiply, .s32, .register(place.thread), .integer(schedule.vector))
    }

    /// How far rows start from the multiple of 16 bytes before, at which their first vector begins.
    private func findShifts() {
        for length in plan.lengths {
            guard let start = length.start else { continue }
            let bytes = plan.facts.bytes(start.view), lanes = Swift.min(length.vector, 16 / bytes)
            var address = out.parameter(.b64, parameters.views[start.view])
            for (dimension, position) in start.position.enumerated() where position != 0 {
                let index = position.map { Source.integer($0) } ?? .register(place.program)
                let stride = out.b64(
                    .multiply, .register(views[start.view].strides[dimension]), .integer(bytes))
                address = out.b64(
                    .add, .register(address), .register(out.b64(.multiply, .register(stride), index)))
            }
            let place = out.make(.b32, .convert(from: .s64, to: .s32), [.register(address)])
            let elements = out.b32(.shiftRight, .u32, .register(place), .integer(bytes.trailingZeroBitCount))
            let distance = out.b32(.and, .u32, .register(elements), .integer(lanes - 1))
            let first = out.b32(.subtract, .s32, .register(self.place.firstLane), .register(distance))
            shifts[length.number] = (first, distance)
        }
    }

    /// The first lane of the thread's first vector of a length; below 0 where a row starts within it.
    func firstLane(_ length: LengthPlan) -> Register { shifts[length.number]?.firstLane ?? place.firstLane }

    private func findPlaceAmongBlocks(_ block: Register) {
        let blocks = Source.integer(schedule.blocks)
        place.program = out.b64(.divide, .register(block), blocks)
        let first = out.b64(.multiply, .register(place.program), blocks)
        let rank = out.b64(.subtract, .register(block), .register(first))
        let narrow = out.make(.b32, .convert(from: .s64, to: .s32), [.register(rank)])
        let before = out.b32(.multiply, .s32, .register(narrow), .integer(schedule.blockThreads))
        place.thread = out.b32(.add, .s32, .register(before), .register(place.threadInBlock))
    }

    /// Writes a body's statements as a list of its own.
    func nested(_ body: () throws -> Void) rethrows -> [Statement] {
        out.open()
        try body()
        return out.close()
    }

    /// A block's shared memory may be written once the block is known to run.
    func waitForPeers(at point: ClusterPlan.Point) {
        if plan.cluster.waits.contains(point) { out.emit(.clusterWait, []) }
    }
}
