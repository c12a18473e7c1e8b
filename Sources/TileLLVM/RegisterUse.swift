import TileGPU

/// Which registers of a program are values in LLVM's sense: written once, in a place that comes before every use on
/// every path. The others become variables, of which LLVM makes values itself.
struct RegisterUse {
    private(set) var variables: Set<Int> = []

    /// By register: the list of statements that writes it.
    private var writer: [Int: Int] = [:]
    /// Lists of statements that are being read, outermost first.
    private var open: [Int] = [0]
    private var lists = 1

    init(_ function: ThreadFunction) { visit(function.body) }

    private mutating func visit(_ statements: [Statement]) {
        for statement in statements {
            switch statement {
            case .instruction(let instruction):
                for source in instruction.sources { read(source) }
                if let guarding = instruction.guardedBy { read(.register(guarding)) }
                for result in instruction.results { write(result) }
                // What was there before stays where the guard is off.
                if instruction.guardedBy != nil, case .move = instruction.kind {
                    variables.formUnion(instruction.results.map(\.number))
                }
            case .loop(let counter, let from, let to, let step, let body):
                for source in [from, to, step] { read(source) }
                variables.insert(counter.number)
                nested(body)
            case .conditional(let predicate, let then, let otherwise):
                read(.register(predicate))
                nested(then)
                nested(otherwise)
            case .selected(let predicate, let body):
                read(.register(predicate))
                nested(body)
            case .programs(let body): visit(body)
            case .roles(let roles): for role in roles { nested(role.body) }
            }
        }
    }

    private mutating func nested(_ body: [Statement]) {
        open.append(lists)
        lists += 1
        visit(body)
        open.removeLast()
    }

    private mutating func write(_ register: Register) {
        if writer[register.number] != nil { variables.insert(register.number) }
        writer[register.number] = open.last
    }

    private mutating func read(_ source: Source) {
        guard case .register(let register) = source else { return }
        let isBefore = writer[register.number].map(open.contains) ?? false
        if !isBefore { variables.insert(register.number) }
    }
}
