import Tile

// A reduction folds a thread's own lanes in order, then the threads of a warp by exchanging partial
// results, then the warps of a block or cluster through shared memory: always in the same order.
extension Lowering {
    /// A thread's partial result of nothing.
    func begin(_ reduction: Reduction, _ operation: Operation) -> [Register] {
        identity(reduction, function.type(operation.operands[0]).element).map { source in
            let register = out.register(register(reduction, operation, source.isIndex))
            out.move(source.value, to: register)
            return register
        }
    }

    private func register(_ reduction: Reduction, _ operation: Operation, _ isIndex: Bool) -> RegisterType {
        isIndex ? .b32 : function.type(operation.operands[0]).element.register
    }

    private func identity(
        _ reduction: Reduction, _ element: ElementKind
    ) -> [(value: Source, isIndex: Bool)] {
        let isFloat = element == .f32
        switch reduction {
        case .sum, .sumProduct: return [(isFloat ? .float(0) : .integer(0), false)]
        case .maximum:
            let least: Source = element == .u32 ? .bits(0) : .bits(0x8000_0000)
            return [(isFloat ? .float(-.infinity) : least, false)]
        case .minimum:
            let most: Source = element == .u32 ? .bits(0xFFFF_FFFF) : .bits(0x7FFF_FFFF)
            return [(isFloat ? .float(.infinity) : most, false)]
        case .argmax: return [(.float(-.infinity), false), (.bits(0x7FFF_FFFF), true)]
        case .maxSumExp: return [(.float(-.infinity), false), (.float(0), false)]
        }
    }

    /// Folds a chunk's lanes into the thread's partial result.
    func accumulate(
        _ reduction: Reduction, _ accumulator: [Register], _ inputs: [[Register]], _ operation: Operation,
        _ chunk: Chunk
    ) {
        let element = function.type(operation.operands[0]).element
        let lanes = inputs[0].indices
        let neutral = identity(reduction, element)[0].value
        func present(_ values: [Register], _ lane: Int, else other: Source) -> Register {
            guard let guarding = chunk.guards[lane / schedule.vector] else { return values[lane] }
            return out.select(element.register, guarding, .register(values[lane]), other)
        }
        switch reduction {
        case .sumProduct:
            for lane in lanes {
                let a = present(inputs[0], lane, else: .float(0))
                let b = present(inputs[1], lane, else: .float(0))
                out.write(
                    accumulator[0], .arithmetic(.multiplyAdd, .f32),
                    [.register(a), .register(b), .register(accumulator[0])])
            }
        case .maxSumExp:
            let values = lanes.map { present(inputs[0], $0, else: .float(-.infinity)) }
            foldMaxSumExp(accumulator, values)
        case .argmax:
            for lane in lanes {
                let number = laneNumber(lane, chunk)
                let value = present(inputs[0], lane, else: neutral)
                let index =
                    chunk.guards[lane / schedule.vector].map {
                        out.select(.b32, $0, .register(number), .bits(0x7FFF_FFFF))
                    } ?? number
                replace(accumulator, with: combine(reduction, element, accumulator, [value, index]))
            }
        case .sum where element == .f32:
            let chunkTotal = pairwise(.add, lanes) { present(inputs[0], $0, else: neutral) }
            let total = out.f32(.add, .register(accumulator[0]), .register(chunkTotal))
            replace(accumulator, with: [total])
        default:
            for lane in lanes {
                let value = present(inputs[0], lane, else: neutral)
                replace(accumulator, with: combine(reduction, element, accumulator, [value]))
            }
        }
    }

    private func replace(_ accumulator: [Register], with values: [Register]) {
        for (a, value) in zip(accumulator, values) { out.move(.register(value), to: a) }
    }

    private func laneNumber(_ lane: Int, _ chunk: Chunk) -> Register {
        let span = schedule.threads * schedule.vector
        let ahead = lane / schedule.vector * span + lane % schedule.vector
        let own = out.b32(.add, .s32, .register(firstLane), .integer(ahead))
        guard let start = chunk.start else { return own }
        return out.b32(.add, .s32, .register(own), .register(start))
    }

    /// The chunk's largest value first, then one rescaling of the running sum, then the chunk's sum.
    private func foldMaxSumExp(_ accumulator: [Register], _ values: [Register]) {
        var largest = accumulator[0]
        let chunkLargest = pairwise(.maximum, values.indices) { values[$0] }
        largest = out.f32(.maximum, .register(largest), .register(chunkLargest))
        let shift = finite(largest)
        var total = out.f32(
            .multiply, .register(accumulator[1]), .register(expDifference(accumulator[0], shift)))
        let chunkTotal = pairwise(.add, values.indices) { expDifference(values[$0], shift) }
        total = out.f32(.add, .register(total), .register(chunkTotal))
        replace(accumulator, with: [largest, total])
    }

    /// Neighbours first, then neighbouring pairs, and so on: fewer roundings in a row than one by one, and less
    /// waiting. A value is computed just before it is needed, so that few wait in registers.
    private func pairwise(_ operation: Arithmetic, _ lanes: Range<Int>, _ value: (Int) -> Register) -> Register {
        if lanes.count == 1 { return value(lanes.lowerBound) }
        var half = 1
        while 2 * half < lanes.count { half *= 2 }
        let middle = lanes.lowerBound + half
        let first = pairwise(operation, lanes.lowerBound..<middle, value)
        let second = pairwise(operation, middle..<lanes.upperBound, value)
        return out.f32(operation, .register(first), .register(second))
    }

    /// The value, or 0 where it is -inf, so that -inf - shift stays -inf.
    private func finite(_ value: Register) -> Register {
        let isNothing = out.compare(.equal, .f32, .register(value), .float(-.infinity))
        return out.select(.f32, isNothing, .float(0), .register(value))
    }

    private func expDifference(_ a: Register, _ b: Register) -> Register {
        out.decay(.register(out.f32(.subtract, .register(a), .register(b))))
    }

    /// Two partial results as one.
    private func combine(
        _ reduction: Reduction, _ element: ElementKind, _ a: [Register], _ b: [Register]
    ) -> [Register] {
        func plain(_ operation: Arithmetic) -> [Register] {
            [
                out.make(
                    element.register, .arithmetic(operation, element.number),
                    [.register(a[0]), .register(b[0])])
            ]
        }
        switch reduction {
        case .sum, .sumProduct: return plain(.add)
        case .maximum: return plain(.maximum)
        case .minimum: return plain(.minimum)
        case .maxSumExp:
            let largest = out.f32(.maximum, .register(a[0]), .register(b[0]))
            let shift = finite(largest)
            let mine = out.f32(.multiply, .register(a[1]), .register(expDifference(a[0], shift)))
            let theirs = out.f32(.multiply, .register(b[1]), .register(expDifference(b[0], shift)))
            // The same roundings from either side, so that all threads end with the same bits.
            return [largest, out.f32(.add, .register(mine), .register(theirs))]
        case .argmax:
            // b wins if larger, or NaN where a is not; on a tie the lower lane wins.
            let larger = out.compare(.greater, .f32, .register(b[0]), .register(a[0]))
            let isNaN = out.compare(.notEqual, .f32, .register(b[0]), .register(b[0]))
            let wasNaN = out.compare(.notEqual, .f32, .register(a[0]), .register(a[0]))
            let equal = out.compare(.equal, .f32, .register(b[0]), .register(a[0]))
            let lower = out.compare(.less, .s32, .register(b[1]), .register(a[1]))
            let bothNaN = logic(.and, isNaN, wasNaN)
            let tie = logic(.and, logic(.or, equal, bothNaN), lower)
            let newNaN = logic(.and, isNaN, not(wasNaN))
            let above = logic(.and, larger, not(wasNaN))
            let wins = logic(.or, logic(.or, above, newNaN), tie)
            return [
                out.select(.f32, wins, .register(b[0]), .register(a[0])),
                out.select(.b32, wins, .register(b[1]), .register(a[1])),
            ]
        }
    }

    private func logic(_ operation: Arithmetic, _ a: Register, _ b: Register) -> Register {
        out.make(.predicate, .arithmetic(operation, .predicate), [.register(a), .register(b)])
    }

    private func not(_ a: Register) -> Register {
        out.make(.predicate, .arithmetic(.not, .predicate), [.register(a)])
    }

    // MARK: Across threads

    /// A reduction on its way from one thread's lanes to all threads'.
    struct Partial {
        let reduction: Reduction
        let element: ElementKind
        /// What the kernel calls its results.
        let results: [ValueID]
        var registers: [Register]
    }

    /// The results of all threads of the program, in each of them. A phase's reductions travel together, so
    /// that they wait for each other's threads once.
    func combineThreads(_ partials: [Partial]) -> [Partial] {
        if partials.isEmpty { return [] }
        let width = Swift.min(schedule.threads, 32)
        let warps = partials.map { combineWarp($0, width) }
        return schedule.threads > 32 ? combineWarps(warps) : warps
    }

    private func combineWarp(_ partial: Partial, _ width: Int) -> Partial {
        var result = partial
        var distance = width / 2
        while distance >= 1 {
            let other = result.registers.map { register in
                out.make(
                    out.registers[register.number], .shuffle(xor: distance, width: width),
                    [.register(register)])
            }
            result.registers = combine(partial.reduction, partial.element, result.registers, other)
            distance /= 2
        }
        return result
    }

    /// Every warp tells all blocks of the program what it found; then each warp folds what all said.
    private func combineWarps(_ partials: [Partial]) -> [Partial] {
        let warps = schedule.threads / 32
        let count = partials.reduce(0) { $0 + $1.registers.count }
        let base = exchangeBase(bytes: (count * warps * 4 + 15) & ~15)
        let lane = out.b32(.and, .u32, .register(thread), .integer(31))
        let warp = out.b32(.shiftRight, .u32, .register(thread), .integer(5))
        tell(partials.flatMap(\.registers), at: address(of: warp, from: base), stride: warps * 4, lane)
        meet()
        var offset = 0
        return partials.map { partial in
            defer { offset += partial.registers.count * warps * 4 }
            return gather(partial, from: base, offset: offset, warps, lane)
        }
    }

    /// A warp's results, one lane to each block.
    private func tell(_ registers: [Register], at place: Register, stride: Int, _ lane: Register) {
        let (space, isTelling): (Space, Register)
        var place = place
        if isCluster {
            waitForPeers()
            isTelling = out.compare(.less, .s32, .register(lane), .integer(schedule.blocks))
            place = out.make(
                .b64, .peerAddress, [.register(place), .register(lane)], guardedBy: isTelling)
            space = .cluster
        } else {
            isTelling = out.compare(.equal, .s32, .register(lane), .integer(0))
            space = .shared
        }
        for (i, register) in registers.enumerated() {
            out.emit(
                .store(space, dtype(register), offset: i * stride),
                [.register(place), .register(register)], guardedBy: isTelling)
        }
    }

    /// Every warp's result is written before any is read.
    private func meet() {
        guard isCluster else { return out.emit(.barrier, []) }
        out.emit(.clusterArrive, [])
        out.emit(.clusterWait, [])
    }

    /// A block's shared memory may be written once the block is known to run.
    func waitForPeers() {
        if awaitsPeers { out.emit(.clusterWait, []) }
        awaitsPeers = false
    }

    /// What all warps found, in each lane: a lane folds every 32nd warp's, in order, then the lanes exchange.
    private func gather(
        _ partial: Partial, from base: Source, offset: Int, _ warps: Int, _ lane: Register
    ) -> Partial {
        var width = 1
        while width < Swift.min(warps, 32) { width *= 2 }
        let neutral = identity(partial.reduction, partial.element)
        let slot = out.b32(.and, .u32, .register(lane), .integer(width - 1))
        let place = address(of: slot, from: base)
        let loads = stride(from: 0, to: warps, by: width).map { first in
            let exists =
                first + width <= warps
                ? nil : out.compare(.less, .s32, .register(slot), .integer(warps - first))
            return partial.registers.enumerated().map { i, register in
                let type = out.registers[register.number]
                let loaded = out.make(
                    type, .load(.shared, dtype(register), offset: offset + (i * warps + first) * 4),
                    [.register(place)], guardedBy: exists)
                guard let exists else { return loaded }
                return out.select(type, exists, .register(loaded), neutral[i].value)
            }
        }
        var gathered = partial
        gathered.registers = loads.dropFirst().reduce(loads[0]) {
            combine(partial.reduction, partial.element, $0, $1)
        }
        return combineWarp(gathered, width)
    }

    /// Where an exchange starts in shared memory. In a loop two places serve in turn: a thread that writes
    /// one has met all others at the barrier of the other, behind which all have read this one.
    private func exchangeBase(bytes: Int) -> Source {
        let first = sharedBytes
        sharedBytes += depth > 0 ? 2 * bytes : bytes
        if depth == 0 { return .integer(first) }
        let (turn, base) = (out.register(.b64), out.register(.b64))
        initial.append((turn, first))
        out.move(.register(turn), to: base)
        out.write(turn, .arithmetic(.subtract, .s64), [.integer(2 * first + bytes), .register(turn)])
        return .register(base)
    }

    private func address(of index: Register, from base: Source) -> Register {
        let wide = out.make(.b64, .convert(from: .u32, to: .s64), [.register(index)])
        return out.b64(.add, .register(out.b64(.multiply, .register(wide), .integer(4))), base)
    }

    private func dtype(_ register: Register) -> DType { out.registers[register.number] == .f32 ? .f32 : .i32 }
}
