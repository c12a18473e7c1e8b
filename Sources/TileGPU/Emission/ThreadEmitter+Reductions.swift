import Tile

/// The reduction of some of the program's lanes.
struct Partial {
    let reduction: Reduction
    let element: ElementKind
    /// What the kernel calls its results.
    let results: [ValueID]
    var registers: [Register]
}

// A thread folds its own lanes, in order; `ThreadEmitter+Folds.swift` folds what threads found.
extension ThreadEmitter {
    func partial(_ operation: Operation, _ registers: [Register]) -> Partial? {
        guard case .reduce(let reduction) = operation.kind else { return nil }
        return Partial(
            reduction: reduction, element: function.type(operation.operands[0]).element,
            results: operation.results, registers: registers)
    }

    /// A thread's partial result of nothing.
    func begin(_ operation: Operation) -> [Register] {
        guard let nothing = partial(operation, []) else { return [] }
        return identity(nothing.reduction, nothing.element).map { source in
            let register = out.register(source.isIndex ? .b32 : nothing.element.register)
            out.move(source.value, to: register)
            return register
        }
    }

    func identity(
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
        _ operation: Operation, _ accumulator: [Register], _ inputs: [[Register]], _ chunk: Chunk
    ) {
        guard let partial = partial(operation, accumulator) else { return }
        let (reduction, element) = (partial.reduction, partial.element)
        let neutral = identity(reduction, element)[0].value
        func present(_ input: Int, _ lane: Int) -> Register {
            orElse(neutral, inputs[input][lane], where: chunk.guarding(lane))
        }
        switch reduction {
        case .sumProduct:
            for lane in chunk.lanes {
                let factors = [present(0, lane), present(1, lane)].map { Source.register($0) }
                out.write(
                    accumulator[0], .arithmetic(.multiplyAdd, .f32), factors + [.register(accumulator[0])])
            }
        case .maxSumExp:
            foldMaxSumExp(accumulator, chunk.lanes.map { present(0, $0) })
        case .argmax:
            for lane in chunk.lanes {
                let number = laneNumber(lane, chunk), value = present(0, lane)
                let index = orElse(.bits(0x7FFF_FFFF), number, where: chunk.guarding(lane))
                replace(accumulator, with: combine(reduction, element, accumulator, [value, index]))
            }
        case .sum where element == .f32:
            let chunkTotal = pairwise(.add, chunk.lanes) { present(0, $0) }
            let total = out.f32(.add, .register(accumulator[0]), .register(chunkTotal))
            replace(accumulator, with: [total])
        default:
            for lane in chunk.lanes {
                let value = present(0, lane)
                replace(accumulator, with: combine(reduction, element, accumulator, [value]))
            }
        }
    }

    /// A lane's register, or another value where the lane does not exist.
    private func orElse(_ other: Source, _ value: Register, where guarding: Register?) -> Register {
        guard let guarding else { return value }
        return out.select(out.registers[value.number], guarding, .register(value), other)
    }

    private func replace(_ accumulator: [Register], with values: [Register]) {
        for (a, value) in zip(accumulator, values) { out.move(.register(value), to: a) }
    }

    private func laneNumber(_ lane: Int, _ chunk: Chunk) -> Register {
        let own = out.b32(.add, .s32, .register(firstLane(chunk.length)), .integer(chunk.ahead(lane)))
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

    /// Adjacent lanes first, then adjacent pairs, and so on: fewer roundings in a row than one by one, and less
    /// waiting. A value is computed just before it is needed, so that few wait in registers.
    private func pairwise(_ operation: Arithmetic, _ lanes: Range<Int>, _ value: (Int) -> Register)
        -> Register
    {
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
    func combine(
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
        case .argmax: return largerWithLane(a, b)
        }
    }

    /// The larger value with its lane: b wins if it is larger, or NaN where a is not; on a tie the lower lane wins.
    private func largerWithLane(_ a: [Register], _ b: [Register]) -> [Register] {
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

    private func logic(_ operation: Arithmetic, _ a: Register, _ b: Register) -> Register {
        out.make(.predicate, .arithmetic(operation, .predicate), [.register(a), .register(b)])
    }

    private func not(_ a: Register) -> Register {
        out.make(.predicate, .arithmetic(.not, .predicate), [.register(a)])
    }
}
