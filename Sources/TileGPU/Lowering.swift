package import Tile

/// A kernel that the lowering cannot map to threads, and what to change.
package struct LoweringError: Error, CustomStringConvertible {
    package let description: String
}

extension ThreadFunction {
    /// Maps a verified function to threads.
    ///
    /// - Parameter sharedLimit: bytes of shared memory that a block may take.
    /// - Throws: `LoweringError` where a tile that must be kept fits neither registers nor memory.
    package init(
        _ function: TileFunction, layouts: [GPULayout], schedule: GPUSchedule? = nil,
        sharedLimit: Int = 160 << 10
    ) throws {
        let lowering = Lowering(
            function, layouts, schedule ?? GPUSchedule(function, layouts: layouts), sharedLimit)
        try lowering.run()
        self.init(
            name: function.name, views: function.views, scalars: function.scalars,
            messages: function.messages, schedule: lowering.schedule, registers: lowering.out.registers,
            body: lowering.out.statements, sharedBytes: lowering.sharedBytes,
            localBytes: lowering.localBytes, isCluster: lowering.isCluster)
    }
}

/// Lane e of the tiles that a thread holds: vector e / V of the thread, element e % V in it. Of a tile
/// of N lanes, thread t of T owns the vectors t, t + T, t + 2 T, ..., so that a warp's accesses are
/// neighbours.
final class Lowering {
    let function: TileFunction
    let layouts: [GPULayout]
    let schedule: GPUSchedule
    let parameters: ParameterLayout
    let residence: Residence
    var out = ThreadBuilder()

    /// Scalars: one register.
    var scalars: [ValueID: Register] = [:]
    /// Tiles that registers hold: one register per lane the thread owns.
    var tiles: [ValueID: [Register]] = [:]
    /// Tiles that a later phase makes anew, and what the present phase has made.
    var remake: [ValueID: () -> [Register]] = [:]
    var remadeLanes: [ValueID: [Register]] = [:]
    let usingPhases: [ValueID: Set<Int>]
    let sweptLoads: SweptLoads
    /// The phase being written.
    var phaseNumber = 0
    /// Tiles in memory of the thread's own, swept in chunks.
    var rows: [ValueID: Row] = [:]
    /// Sizes and strides of views, by view and dimension.
    var sizes: [[Int]: Register] = [:]
    var strides: [[Int]: Register] = [:]
    /// Addresses of accesses: of the lane the thread's first vector starts at.
    var addresses: [ValueID: Register] = [:]

    var divisors: Divisors

    var sharedBytes = 0
    /// Shared memory that rows may take.
    let mostRowBytes: Int
    var localBytes = 0
    /// Loops around the statement being written: reductions inside one reuse their shared memory.
    var depth = 0
    /// The loop over rows being written, whose next turn's loads can be asked for ahead.
    var rowLoop: RowLoop?
    /// Loads whose rows lie in shared memory, by the address of this thread's first vector.
    var brought: [ValueID: Register] = [:]
    /// The lengths that these rows have.
    var broughtExtents: Set<ExtentID> = []
    /// Whether some of these rows have been asked for and not been waited for.
    var awaitsCopies = false
    /// Rows of that loop which are on their way into shared memory.
    var staging: Staging?
    /// Loads of the phase being written that one access serves, and what such an access has brought of others.
    var neighbours: [ValueID: [Operation]] = [:]
    var broughtAlong: [ValueID: [Register]] = [:]
    /// Sweeps in chunks written so far, by length.
    var sweeps: [ExtentID: Int] = [:]
    /// Registers that are set before anything else, and to what.
    var initial: [(Register, Int)] = []

    /// Whether the program's blocks exchange what they found.
    let isCluster: Bool
    /// Whether the other blocks of the cluster may not have begun yet: they have once this thread has waited.
    var awaitsPeers = false

    // The thread's place, found once.
    var thread = Register(number: 0)
    var threadInBlock = Register(number: 0)
    var firstLane = Register(number: 0)
    var program = Register(number: 0)

    /// A loop of the kernel.
    struct RowLoop {
        let counter: ValueID
        let to: Register
        let step: Register
    }

    /// A tile kept in memory.
    struct Row {
        let space: Space
        /// The address of the thread's first vector.
        let address: Register
    }

    init(
        _ function: TileFunction, _ layouts: [GPULayout], _ schedule: GPUSchedule, _ sharedLimit: Int
    ) {
        // What is left is for the exchanges of reductions.
        mostRowBytes = sharedLimit - 4096
        self.function = function
        self.layouts = layouts
        self.schedule = schedule
        parameters = ParameterLayout(views: function.views, scalars: function.scalars)
        let nodes = Scheduler.schedule(function)
        residence = Residence(function: function, schedule: nodes)
        usingPhases = PhaseUses(nodes).phases
        sweptLoads = SweptLoads(nodes, residence)
        divisors = Divisors(function, layouts)
        isCluster = schedule.blocks > 1 && function.body.reduces
    }

    func run() throws {
        findPlace()
        // Sizes and strides are read up front, so that every way of control flow finds them.
        for (view, parameter) in function.views.enumerated() {
            for dimension in 0..<parameter.rank {
                sizes[[view, dimension]] = self.parameter(.b64, parameters.size(view, dimension))
                strides[[view, dimension]] = self.parameter(
                    .b64, parameters.stride(view, dimension, rank: parameter.rank))
            }
        }
        let count = parameter(.b64, parameters.programs)
        let isInside = out.compare(.less, .s64, .register(program), .register(count))
        let body = try nested {
            if isCluster { out.emit(.clusterArrive, []) }
            awaitsPeers = isCluster
            try emit(Scheduler.schedule(function))
            waitForPeers()
        }
        for (register, value) in initial { out.move(.integer(value), to: register) }
        out.append(.conditional(isInside, then: body, otherwise: []))
    }

    /// Program and thread within it, from block and thread numbers.
    private func findPlace() {
        threadInBlock = out.make(.b32, .threadIndex, [])
        let block = out.make(.b32, .blockIndex, [])
        let wideBlock = out.make(.b64, .convert(from: .u32, to: .s64), [.register(block)])
        if schedule.blocks > 1 {
            let blocks = Source.integer(schedule.blocks)
            program = out.b64(.divide, .register(wideBlock), blocks)
            let first = out.b64(.multiply, .register(program), blocks)
            let rank = out.b64(.subtract, .register(wideBlock), .register(first))
            let narrow = out.make(.b32, .convert(from: .s64, to: .s32), [.register(rank)])
            let before = out.b32(.multiply, .s32, .register(narrow), .integer(schedule.blockThreads))
            thread = out.b32(.add, .s32, .register(before), .register(threadInBlock))
        } else if schedule.programsPerBlock == 1 {
            thread = threadInBlock
            program = wideBlock
        } else {
            thread = out.b32(.and, .u32, .register(threadInBlock), .integer(schedule.threads - 1))
            let shift = schedule.threads.trailingZeroBitCount
            let within = out.b32(.shiftRight, .u32, .register(threadInBlock), .integer(shift))
            let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(within)])
            let base = out.b64(.multiply, .register(wideBlock), .integer(schedule.programsPerBlock))
            program = out.b64(.add, .register(base), .register(wide))
        }
        firstLane = out.b32(.multiply, .s32, .register(thread), .integer(schedule.vector))
    }

    func parameter(_ type: RegisterType, _ offset: Int) -> Register {
        out.make(type, .parameter(offset: offset), [])
    }

    // MARK: Structure

    func emit(_ nodes: [ScheduleNode]) throws {
        for node in nodes {
            switch node {
            case .section(let operations): for operation in operations { try emitScalar(operation) }
            case .phase(let phase): try emitPhase(phase)
            case .loop(let operation, let body): try emitLoop(operation, body)
            case .conditional(let operation, let first, let second):
                try emitConditional(operation, first, second)
            }
        }
    }

    /// Writes a body's statements apart.
    func nested(_ body: () throws -> Void) rethrows -> [Statement] {
        out.open()
        try body()
        return out.close()
    }

    private func emitLoop(_ operation: Operation, _ body: [ScheduleNode]) throws {
        let region = operation.regions[0]
        let carried = Array(region.arguments.dropFirst())
        for (initial, argument) in zip(operation.operands.dropFirst(3), carried) {
            try place(argument)
            try copy(initial, to: argument)
        }
        for (argument, result) in zip(carried, operation.results) { alias(result, to: argument) }
        waitForPeers()
        let counter = out.register(.b64)
        let bounds = operation.operands.prefix(3).map { scalars[$0] ?? counter }
        scalars[region.arguments[0]] = counter
        let outer = (rowLoop, staging)
        rowLoop = RowLoop(counter: region.arguments[0], to: bounds[1], step: bounds[2])
        staging = self.staging(operation)
        depth += 1
        let statements = try nested {
            func turn() throws {
                try emit(body)
                try handOver(region.yields, to: carried)
            }
            guard let staging else { return try turn() }
            try emitStagedTurn(
                staging, counter: region.arguments[0], from: bounds[0], to: bounds[1], step: bounds[2], turn)
        }
        depth -= 1
        let first = staging.map { early(bounds[0], by: $0.slots - 1, bounds[2]) } ?? bounds[0]
        (rowLoop, staging) = outer
        out.append(
            .loop(
                counter: counter, from: .register(first), to: .register(bounds[1]),
                step: .register(bounds[2]), body: statements))
    }

    private func early(_ start: Register, by turns: Int, _ step: Register) -> Register {
        let before = out.b64(.multiply, .register(step), .integer(turns))
        return out.b64(.subtract, .register(start), .register(before))
    }

    private func emitConditional(
        _ operation: Operation, _ first: [ScheduleNode], _ second: [ScheduleNode]
    ) throws {
        for result in operation.results { try place(result) }
        let awaited = awaitsPeers
        let ways = try zip(operation.regions, [first, second]).map { region, nodes in
            try nested {
                awaitsPeers = awaited
                try emit(nodes)
                for (yield, result) in zip(region.yields, operation.results) { try copy(yield, to: result) }
                waitForPeers()
            }
        }
        guard let condition = scalars[operation.operands[0]] else { return }
        out.append(.conditional(condition, then: ways[0], otherwise: ways[1]))
    }

    // MARK: Places of values that change

    /// Gives a loop's or conditional's value registers, or memory if it is too long.
    private func place(_ value: ValueID) throws {
        let type = function.type(value)
        guard let extent = type.extent else {
            scalars[value] = out.register(type.element.register)
            return
        }
        if isResident(extent) {
            tiles[value] = (0..<lanes(extent)).map { _ in out.register(type.element.register) }
        } else {
            try makeRow(value)
        }
    }

    private func alias(_ value: ValueID, to other: ValueID) {
        scalars[value] = scalars[other]
        tiles[value] = tiles[other]
        rows[value] = rows[other]
    }

    private func copy(_ source: ValueID, to target: ValueID) throws {
        if let from = scalars[source], let to = scalars[target] {
            if from != to { out.move(.register(from), to: to) }
        } else if let from = tiles[source], let to = tiles[target] {
            for (a, b) in zip(from, to) where a != b { out.move(.register(a), to: b) }
        } else if rows[source] != nil, rows[target] != nil, let extent = function.type(source).extent {
            emitChunks(extent) { chunk in
                writeRow(target, readRow(source, chunk), chunk)
            }
        }
    }

    /// The registers of a value that registers hold; several values may share some, as a splat does with its
    /// scalar.
    private func registers(_ value: ValueID) -> [Register] {
        scalars[value].map { [$0] } ?? tiles[value] ?? []
    }

    /// Next values of a loop, through temporaries where one is another's source.
    private func handOver(_ yields: [ValueID], to carried: [ValueID]) throws {
        if Set(yields.flatMap(registers)).isDisjoint(with: carried.flatMap(registers)) {
            for (yield, argument) in zip(yields, carried) { try copy(yield, to: argument) }
            return
        }
        let temporaries = yields.map { yield in
            registers(yield).map { register in
                let copy = out.register(out.registers[register.number])
                out.move(.register(register), to: copy)
                return copy
            }
        }
        for (values, argument) in zip(temporaries, carried) {
            if values.isEmpty {
                throw LoweringError(
                    description: "kernel \(function.name): a loop exchanges tiles too long for registers. "
                        + "Carry them one at a time")
            }
            for (a, b) in zip(values, registers(argument)) {
                out.move(.register(a), to: b)
            }
        }
    }

    // MARK: Lengths

    /// Lanes that a thread owns of a whole tile.
    func lanes(_ extent: ExtentID) -> Int {
        let span = schedule.threads * schedule.vector
        return (function.extents[extent.number].capacity + span - 1) / span * schedule.vector
    }

    /// Whether registers hold whole tiles of that length.
    func isResident(_ extent: ExtentID) -> Bool { lanes(extent) <= schedule.residentLanes }
}
