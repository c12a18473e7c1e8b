import CVector
import Tile

/// Turns a schedule into instructions, and gives every value a place in the frame.
struct PlanBuilder {
    let function: TileFunction
    let schedule: [ScheduleNode]
    let residence: Residence
    let layouts: [ViewLayout]
    let batch: Int
    let block: Int

    var instructions: [Instruction] = []
    var presets: [Preset] = []
    var accesses: [Access] = []
    var contractions: [ContractionAccess] = []
    var frameBytes = 0

    /// Scalars, and tiles kept whole.
    var places: [ValueID: Operand] = [:]
    /// The access of each load, by its result.
    var accessOfLoad: [ValueID: Int] = [:]
    /// Buffers of one block that no live value holds.
    var freeBlocks: [Int] = []

    init(_ function: TileFunction, layouts: [ViewLayout]) {
        self.function = function
        self.layouts = layouts
        schedule = Scheduler.schedule(function)
        residence = Residence(function: function, schedule: schedule)
        let blocking = Blocking(function)
        batch = blocking.batch
        block = blocking.block
    }

    mutating func build() { emit(schedule) }

    mutating func emit(_ nodes: [ScheduleNode]) {
        for node in nodes {
            switch node {
            case .section(let operations): for operation in operations { emitScalar(operation) }
            case .phase(let phase): emitPhase(phase)
            case .loop(let operation, let body): emitLoop(operation, body)
            case .conditional(let operation, let first, let second):
                emitConditional(operation, first, second)
            }
        }
    }
}

// MARK: - The frame

extension PlanBuilder {
    /// Takes bytes of the frame for good, on a cache line of their own.
    mutating func reserve(_ bytes: Int) -> Int {
        let offset = frameBytes
        frameBytes += (bytes + 63) & ~63
        return offset
    }

    /// Bytes of one block of every program of a batch.
    var blockBytes: Int { batch * block * 4 }

    mutating func takeBlock() -> Int { freeBlocks.popLast() ?? reserve(blockBytes) }

    /// The place of a scalar: one element per program.
    mutating func scalarPlace(_ value: ValueID) -> Operand {
        if let place = places[value] { return place }
        let bytes = function.type(value).element == .index ? 8 : 4
        let place = Operand.frame(reserve(batch * bytes))
        places[value] = place
        return place
    }

    /// The place of a tile that is kept whole.
    mutating func rowPlace(_ value: ValueID) -> Operand {
        if let place = places[value] { return place }
        let place = Operand.frame(reserve(batch * capacity(of: value) * 4), step: 4)
        places[value] = place
        return place
    }

    func capacity(of value: ValueID) -> Int {
        function.type(value).extent.map { function.extents[$0.number].capacity } ?? 1
    }

    func laneCount(_ extent: ExtentID) -> LaneCount {
        let extent = function.extents[extent.number]
        guard let count = extent.count, let place = places[count] else { return .constant(extent.capacity) }
        return .frame(Int(place.offset))
    }
}

// MARK: - Control

extension PlanBuilder {
    /// Runs `body` for each block of an extent.
    mutating func emitBlocks(_ extent: ExtentID, _ body: (inout PlanBuilder) -> Void) {
        var begin = Instruction(code: .blockBegin)
        switch laneCount(extent) {
        case .constant(let lanes): begin.variant = Int32(lanes)
        case .frame(let offset):
            begin.variant = -1
            begin.a = .frame(offset)
        }
        let start = instructions.count
        instructions.append(begin)
        body(&self)
        instructions.append(Instruction(code: .blockEnd, number: start + 1))
        instructions[start].number = instructions.count
    }

    /// Copies a scalar or a whole tile.
    mutating func emitCopy(from source: ValueID, to target: ValueID) {
        emitCopy(from: place(source), to: place(target), function.type(source))
    }

    mutating func emitCopy(from source: Operand, to target: Operand, _ type: ValueType) {
        if type.element == .index {
            instructions.append(Instruction(code: .copyIndex, isScalar: true, d: target, a: source))
            return
        }
        guard let extent = type.extent else {
            instructions.append(.unary(CV_COPY, d: target, a: source, isScalar: true))
            return
        }
        emitBlocks(extent) { $0.instructions.append(.unary(CV_COPY, d: target, a: source)) }
    }

    mutating func place(_ value: ValueID) -> Operand {
        function.type(value).isTile ? rowPlace(value) : scalarPlace(value)
    }

    mutating func emitLoop(_ operation: Operation, _ body: [ScheduleNode]) {
        let region = operation.regions[0]
        let carried = Array(region.arguments.dropFirst())
        for (initial, argument) in zip(operation.operands.dropFirst(3), carried) {
            emitCopy(from: initial, to: argument)
        }
        for (argument, result) in zip(carried, operation.results) { places[result] = place(argument) }
        for (argument, yield) in zip(carried, region.yields)
        where places[yield] == nil && isAccumulated(argument, yield, region, body) {
            places[yield] = place(argument)
        }

        let counter = scalarPlace(region.arguments[0])
        let upper = scalarPlace(operation.operands[1])
        let start = instructions.count
        instructions.append(
            Instruction(
                code: .loopBegin, d: counter, a: scalarPlace(operation.operands[0]), b: upper))
        emit(body)
        emitCarrying(from: region.yields, to: carried)
        instructions.append(
            Instruction(
                code: .loopEnd, d: counter, a: scalarPlace(operation.operands[2]), b: upper,
                number: start + 1))
        instructions[start].number = instructions.count
    }

    /// Hands a loop's next values over, through temporaries where one is also another's source.
    private mutating func emitCarrying(from yields: [ValueID], to carried: [ValueID]) {
        let moves = zip(yields, carried).filter { places[$0] == nil || place($0).offset != place($1).offset }
        let crossing = moves.contains { move in carried.contains(move.0) }
        guard crossing else {
            for (yield, argument) in moves { emitCopy(from: yield, to: argument) }
            return
        }
        let temporaries = moves.map { yield, _ in
            let type = function.type(yield)
            let bytes = batch * (type.isTile ? capacity(of: yield) * 4 : 8)
            return Operand.frame(reserve(bytes), step: type.isTile ? 4 : 0)
        }
        for (move, temporary) in zip(moves, temporaries) {
            emitCopy(from: place(move.0), to: temporary, function.type(move.0))
        }
        for (move, temporary) in zip(moves, temporaries) {
            emitCopy(from: temporary, to: place(move.1), function.type(move.1))
        }
    }

    /// Whether the next value of a carried tile can be written over the present one: nothing reads the
    /// present one after the operation that makes the next.
    private func isAccumulated(
        _ argument: ValueID, _ yield: ValueID, _ region: Region, _ body: [ScheduleNode]
    ) -> Bool {
        guard function.type(argument).isTile, region.yields.count(where: { $0 == yield }) == 1,
            !region.yields.contains(argument),
            let position = region.operations.firstIndex(where: { $0.results.contains(yield) }),
            let maker = residence.makers[yield], maker.phase.depth > 0
        else { return false }
        let phases = body.compactMap { if case .phase(let phase) = $0 { phase } else { nil } }
        guard let own = phases.firstIndex(where: { $0.number == maker.phase.number }) else { return false }
        for later in phases[(own + 1)...] {
            let reads = residence.operations(of: later).contains { $0.operands.contains(argument) }
            if reads { return false }
        }
        return !region.operations[(position + 1)...].contains { operation in
            operation.operands.contains(argument) || !operation.regions.isEmpty
        }
    }

    mutating func emitConditional(
        _ operation: Operation, _ first: [ScheduleNode], _ second: [ScheduleNode]
    ) {
        let branch = instructions.count
        instructions.append(
            Instruction(code: .branchIfNot, a: scalarPlace(operation.operands[0])))
        emit(first)
        for (yield, result) in zip(operation.regions[0].yields, operation.results) {
            emitCopy(from: yield, to: result)
        }
        let jump = instructions.count
        instructions.append(Instruction(code: .jump))
        instructions[branch].number = instructions.count
        emit(second)
        for (yield, result) in zip(operation.regions[1].yields, operation.results) {
            emitCopy(from: yield, to: result)
        }
        instructions[jump].number = instructions.count
    }
}
