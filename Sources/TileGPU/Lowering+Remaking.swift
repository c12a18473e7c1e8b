import Tile

// A loaded tile that later phases use again need not wait for them in one register a lane: two lanes of 16 bits
// share one, and a row in shared memory is read once more.
extension Lowering {
    /// Whether phases other than the one that loads a tile use it.
    func isUsedLater(_ operation: Operation) -> Bool {
        guard let value = operation.results.first, !residence.rows.contains(value) else { return false }
        return usingPhases[value, default: []].count > 1
    }

    /// The lanes of a value that a phase makes anew, once.
    func remade(_ value: ValueID) -> [Register]? {
        if let lanes = remadeLanes[value] { return lanes }
        guard let lanes = remake[value]?() else { return nil }
        remadeLanes[value] = lanes
        return lanes
    }

    /// Loads 16-bit lanes as they lie, two a register; nil where they do not lie side by side.
    func loadPacked(_ operation: Operation, _ view: Int, _ base: Register, _ chunk: Chunk) -> [Register]? {
        let dtype = function.views[view].dtype
        guard dtype.isFloat, dtype.byteCount == 2, chunk.start == nil, schedule.vector > 1, isUsedLater(operation),
            case .load(_, let axis?) = operation.kind, axis == function.views[view].rank - 1,
            layouts[view].hasUnitStride, layouts[view].isAligned, startIsAligned(operation, axis, 2)
        else { return nil }
        let pairs = forEachAccess(operation, view, base, chunk) { address, offset, count, guarding in
            let results = (0..<(count / 2)).map { _ in out.register(.b32) }
            out.append(
                .instruction(
                    Instruction(
                        kind: .load(.global, .u32, offset: offset), results: results,
                        sources: [.register(address)], guardedBy: guarding)))
            return results
        }
        remake[operation.results[0]] = { [unowned self] in widened(pairs, dtype, isAgain: true) }
        return widened(pairs, dtype, isAgain: false)
    }

    /// Lanes of pairs. The assembler would keep lanes it has widened, so it is done another way the second time.
    private func widened(_ pairs: [Register], _ dtype: DType, isAgain: Bool) -> [Register] {
        pairs.flatMap { pair in
            [false, true].map { isHigh in
                out.make(.f32, .widen(dtype, isHigh: isHigh, isAgain: isAgain), [.register(pair)])
            }
        }
    }
}

/// The phases that make or use each tile.
struct PhaseUses {
    private(set) var phases: [ValueID: Set<Int>] = [:]

    init(_ nodes: [ScheduleNode]) { collect(nodes) }

    private mutating func collect(_ nodes: [ScheduleNode]) {
        for node in nodes {
            switch node {
            case .section: continue
            case .phase(let phase):
                for operation in phase.operations {
                    for value in operation.results + operation.operands {
                        phases[value, default: []].insert(phase.number)
                    }
                }
            case .loop(_, let body): collect(body)
            case .conditional(_, let first, let second):
                collect(first)
                collect(second)
            }
        }
    }
}
