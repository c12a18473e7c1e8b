/// A regular expression as instructions for a `RegexMatcher`. Instructions only lead forward, to smaller places.
struct RegexProgram: Sendable {
    /// One instruction. What a set has is asked for by a bit of the character's membership.
    struct Instruction: Sendable {
        enum Operation: UInt8, Sendable {
            case accept
            /// One character of the set.
            case set
            /// The set as often as possible, giving back if what follows fails.
            case run
            /// The set as often as possible, for good.
            case possessiveRun
            /// First `next`, then `other`.
            case split
            case lookahead
            case lineEnd
        }

        var operation: Operation
        var next = 0
        /// Of a lookahead: its number among them.
        var other = 0
        /// The set; of a split, all sets that `next` can begin with.
        var mask: UInt64 = 0
        var minimum = 0
        var maximum = Int.max
        /// Of a split: whether `next` can go on without a character. Of a lookahead: whether it is negated.
        var flag = false
    }

    private(set) var code: [Instruction] = [Instruction(operation: .accept)]
    private(set) var entry = 0
    /// What is looked ahead for: sets that follow each other, or several such.
    private(set) var lookaheads: [[[UInt64]]] = []
    private(set) var classes = ScalarClasses([])

    private var sets: [ScalarSet] = []

    /// What a matcher notes of a text grows with it.
    private static let largestProgram = 1000

    /// - Throws: `RegexError` for what is beyond the supported subset.
    init(_ pattern: String) throws {
        entry = try compile(try RegexParser.parse(pattern), then: 0)
        guard code.count <= Self.largestProgram else {
            throw RegexError(reason: "it is made of more than \(Self.largestProgram) parts")
        }
        classes = ScalarClasses(sets)
    }

    private mutating func compile(_ node: RegexNode, then next: Int) throws -> Int {
        switch node {
        case .set(let set): return emit(Instruction(operation: .set, next: next, mask: try mask(set)))
        case .sequence(let parts):
            return try parts.reversed().reduce(next) { try compile($1, then: $0) }
        case .alternatives(let parts):
            var entry = try compile(parts[parts.count - 1], then: next)
            for part in parts.dropLast().reversed() { entry = split(try compile(part, then: next), entry) }
            return entry
        case .optional(let body): return split(try compile(body, then: next), next)
        case .run(let set, let minimum, let maximum, let isPossessive):
            return try compileRun(set, minimum, maximum, isPossessive, next)
        case .lookahead(let alternatives, let isNegated):
            let masks = try alternatives.map { try $0.map { try mask($0) } }
            lookaheads.append(masks)
            return emit(
                Instruction(operation: .lookahead, next: next, other: lookaheads.count - 1, flag: isNegated))
        case .lineEnd: return emit(Instruction(operation: .lineEnd, next: next))
        }
    }

    /// A run of at least n is n - 1 sets and a run of at least one.
    private mutating func compileRun(
        _ set: ScalarSet, _ minimum: Int, _ maximum: Int?, _ isPossessive: Bool, _ next: Int
    ) throws -> Int {
        let leading = max(0, minimum - 1)
        let mask = try mask(set)
        var entry = emit(
            Instruction(
                operation: isPossessive || cannotFail(next) ? .possessiveRun : .run, next: next, mask: mask,
                minimum: min(minimum, 1), maximum: maximum.map { $0 - leading } ?? .max))
        for _ in 0..<leading { entry = emit(Instruction(operation: .set, next: entry, mask: mask)) }
        return entry
    }

    /// Whether what begins here matches in any case, so that nothing before it has to give back.
    private func cannotFail(_ place: Int) -> Bool {
        let instruction = code[place]
        switch instruction.operation {
        case .accept: return true
        case .run, .possessiveRun: return instruction.minimum == 0 && cannotFail(instruction.next)
        case .split: return cannotFail(instruction.other)
        case .set, .lookahead, .lineEnd: return false
        }
    }

    private mutating func split(_ first: Int, _ second: Int) -> Int {
        let (mask, canBeEmpty) = beginnings(first)
        return emit(Instruction(operation: .split, next: first, other: second, mask: mask, flag: canBeEmpty))
    }

    /// The sets that a match from here can begin with, and whether it can go on without a character.
    private func beginnings(_ place: Int) -> (mask: UInt64, canBeEmpty: Bool) {
        let instruction = code[place]
        switch instruction.operation {
        case .accept, .lookahead, .lineEnd: return (0, true)
        case .set: return (instruction.mask, false)
        case .run, .possessiveRun:
            guard instruction.minimum == 0 else { return (instruction.mask, false) }
            let next = beginnings(instruction.next)
            return (instruction.mask | next.mask, next.canBeEmpty)
        case .split:
            let other = beginnings(instruction.other)
            return (instruction.mask | other.mask, instruction.flag || other.canBeEmpty)
        }
    }

    private mutating func emit(_ instruction: Instruction) -> Int {
        code.append(instruction)
        return code.count - 1
    }

    private mutating func mask(_ set: ScalarSet) throws -> UInt64 {
        if let known = sets.firstIndex(of: set) { return 1 << UInt64(known) }
        guard sets.count < 64 else { throw RegexError(reason: "more than 64 different sets of characters") }
        sets.append(set)
        return 1 << UInt64(sets.count - 1)
    }
}
