import Tile

// Loops, conditionals and the values that they change.
extension ThreadEmitter {
    func emit(_ nodes: [PlanNode]) throws {
        for node in nodes {
            switch node {
            case .section(let operations): for operation in operations { try emitScalar(operation) }
            case .phase(let number): try emit(plan.phases.phases[number])
            case .loop(let loop): try emit(loop)
            case .conditional(let conditional): try emit(conditional)
            }
        }
    }

    private func emit(_ planned: PlannedLoop) throws {
        let (operation, carried) = (planned.operation, planned.carried)
        for (initial, argument) in zip(operation.operands.dropFirst(3), carried) {
            allocate(argument)
            copy(initial, to: argument)
        }
        for (argument, result) in zip(carried, operation.results) { alias(result, to: argument) }
        waitForPeers(at: .loop(planned.number))
        let counter = out.register(.b64)
        let bounds = operation.operands.prefix(3).map { scalars[$0] ?? counter }
        scalars[planned.counter] = counter
        let outer = loop
        loop = LoopRegisters(to: bounds[1], step: bounds[2])
        let ring = plan.memory.rings[planned.number]
        if let ring { prepare(ring, of: planned) }
        let statements = try nested {
            func iteration() throws {
                try emit(planned.body)
                try handOver(operation.regions[0].yields, to: Array(carried))
            }
            guard let ring else { return try iteration() }
            try emitStagedIteration(ring, of: planned, from: bounds[0], iteration)
        }
        let first = ring.map { early(bounds[0], by: $0.slots - 1, bounds[2]) } ?? bounds[0]
        loop = outer
        out.append(
            .loop(
                counter: counter, from: .register(first), to: .register(bounds[1]),
                step: .register(bounds[2]), body: statements))
    }

    private func early(_ start: Register, by iterations: Int, _ step: Register) -> Register {
        let before = out.b64(.multiply, .register(step), .integer(iterations))
        return out.b64(.subtract, .register(start), .register(before))
    }

    private func emit(_ planned: PlannedConditional) throws {
        let operation = planned.operation
        operation.results.forEach(allocate)
        let branches = try planned.branches.indices.map { i in
            try nested {
                try emit(planned.branches[i])
                for (yield, result) in zip(operation.regions[i].yields, operation.results) {
                    copy(yield, to: result)
                }
                waitForPeers(at: .branch(i, of: planned.number))
            }
        }
        guard let condition = scalars[operation.operands[0]] else { return }
        out.append(.conditional(condition, then: branches[0], otherwise: branches[1]))
    }

    // MARK: Values that change

    /// Gives a loop's or conditional's value its registers, or the address of its memory.
    private func allocate(_ value: ValueID) {
        let type = function.type(value)
        guard let extent = type.extent else {
            scalars[value] = out.register(type.element.register)
            return
        }
        if plan.homes[value] == .kept {
            prepareKept(value)
        } else {
            tiles[value] = (0..<length(extent).lanes).map { _ in out.register(type.element.register) }
        }
    }

    private func alias(_ value: ValueID, to other: ValueID) {
        scalars[value] = scalars[other]
        tiles[value] = tiles[other]
        addresses.kept[value] = addresses.kept[other]
    }

    private func copy(_ source: ValueID, to target: ValueID) {
        if plan.homes[target] == .kept, let extent = function.type(source).extent {
            emitChunks(length(extent)) { chunk in
                writeKept(target, readKept(source, chunk), chunk)
            }
            return
        }
        for (from, to) in zip(registers(source), registers(target)) where from != to {
            out.move(.register(from), to: to)
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
            for (yield, argument) in zip(yields, carried) { copy(yield, to: argument) }
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
}
