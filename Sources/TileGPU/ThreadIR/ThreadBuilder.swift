import Tile

/// Writes a thread's program, statement by statement.
struct ThreadBuilder {
    private(set) var registers: [RegisterType] = []
    /// Statement lists being written, innermost last.
    private var lists: [[Statement]] = [[]]

    var statements: [Statement] { lists[0] }

    mutating func register(_ type: RegisterType) -> Register {
        registers.append(type)
        return Register(number: registers.count - 1)
    }

    mutating func append(_ statement: Statement) { lists[lists.count - 1].append(statement) }

    /// Appends an instruction without a result.
    mutating func emit(_ kind: InstructionKind, _ sources: [Source], guardedBy guarding: Register? = nil) {
        append(.instruction(Instruction(kind: kind, sources: sources, guardedBy: guarding)))
    }

    /// Appends an instruction with one new result.
    mutating func make(
        _ type: RegisterType, _ kind: InstructionKind, _ sources: [Source],
        guardedBy guarding: Register? = nil
    ) -> Register {
        let result = register(type)
        write(result, kind, sources, guardedBy: guarding)
        return result
    }

    /// Appends an instruction that writes an existing register.
    mutating func write(
        _ result: Register, _ kind: InstructionKind, _ sources: [Source], guardedBy guarding: Register? = nil
    ) {
        append(
            .instruction(
                Instruction(kind: kind, results: [result], sources: sources, guardedBy: guarding)))
    }

    mutating func move(_ source: Source, to target: Register) { write(target, .move, [source]) }

    mutating func parameter(_ type: RegisterType, _ offset: Int) -> Register {
        make(type, .parameter(offset: offset), [])
    }

    /// Begins a nested list of statements, until `close`.
    mutating func open() { lists.append([]) }
    mutating func close() -> [Statement] { lists.removeLast() }

    // MARK: Arithmetic

    mutating func f32(_ operation: Arithmetic, _ sources: Source...) -> Register {
        make(.f32, .arithmetic(operation, .f32), sources)
    }

    mutating func b64(_ operation: Arithmetic, _ sources: Source...) -> Register {
        make(.b64, .arithmetic(operation, .s64), sources)
    }

    mutating func b32(_ operation: Arithmetic, _ type: NumberType, _ sources: Source...) -> Register {
        make(.b32, .arithmetic(operation, type), sources)
    }

    mutating func compare(_ comparison: Comparison, _ type: NumberType, _ a: Source, _ b: Source) -> Register
    {
        make(.predicate, .compare(comparison, type), [a, b])
    }

    mutating func select(_ type: RegisterType, _ predicate: Register, _ yes: Source, _ no: Source) -> Register
    {
        make(type, .select, [.register(predicate), yes, no])
    }

    /// c0 + x (c1 + x (c2 + ...)), highest coefficient first.
    mutating func polynomial(_ x: Register, _ coefficients: [Float]) -> Register {
        var value = register(.f32)
        move(.float(coefficients[0]), to: value)
        for coefficient in coefficients.dropFirst() {
            value = f32(.multiplyAdd, .register(value), .register(x), .float(coefficient))
        }
        return value
    }
}

extension ElementKind {
    /// The register a scalar or a lane of this kind lives in.
    var register: RegisterType {
        switch self {
        case .f32: .f32
        case .i32, .u32: .b32
        case .index: .b64
        case .mask: .predicate
        }
    }

    var number: NumberType {
        switch self {
        case .f32: .f32
        case .i32: .s32
        case .u32: .u32
        case .index: .s64
        case .mask: .predicate
        }
    }
}
