import Tile

// Work of a whole program, which every one of its threads does for itself.
extension ThreadEmitter {
    func emitScalar(_ operation: Operation) throws {
        switch operation.kind {
        case .constant(let constant):
            define(operation, constant)
        case .argument(let position):
            scalars[operation.results[0]] = out.parameter(
                function.scalars[position].element.register, parameters.scalars[position])
        case .programIndex: scalars[operation.results[0]] = place.program
        case .columnBlock:
            // A kernel that cuts no columns has one block.
            scalars[operation.results[0]] = columnBlock ?? out.make(.b64, .move, [.integer(0)])
        case .size(let view, let dimension):
            scalars[operation.results[0]] = views[view].sizes[dimension]
        case .load(let view, _):
            let address = address(operation, view, except: nil)
            let loaded = out.make(
                loadType(view), .load(.global, function.views[view].dtype, offset: 0), [.register(address)])
            scalars[operation.results[0]] = converted(
                loaded, view, to: function.type(operation.results[0]).element)
        case .store(let view, _): emitScalarStore(operation, view)
        case .check(let message): emitCheck(operation, message)
        default:
            let operands = try operation.operands.map { operand in
                guard let register = scalars[operand] else {
                    throw LoweringError(
                        description: "kernel \(function.name): %\(operand.number) is no scalar")
                }
                return register
            }
            scalars[operation.results[0]] =
                quotient(operation, operands) ?? compute(operation, operands)
        }
    }

    private func define(_ operation: Operation, _ constant: Constant) {
        let register = out.register(constant.element.register)
        switch constant {
        case .f32(let bits): out.move(.bits(UInt64(bits)), to: register)
        case .i32(let value): out.move(.bits(UInt64(UInt32(bitPattern: value))), to: register)
        case .u32(let value): out.move(.bits(UInt64(value)), to: register)
        case .index(let value): out.move(.integer(value), to: register)
        case .mask(let value): out.move(.bits(value ? 1 : 0), to: register)
        }
        scalars[operation.results[0]] = register
        constants.insert(operation.results[0])
    }

    /// A quotient or remainder of numbers of 64 bits, in 32 bits where both have no more: by a number that is known at run
    /// time only, 64 bits take some hundred instructions one after the other. Nil for everything else.
    private func quotient(_ operation: Operation, _ operands: [Register]) -> Register? {
        guard case .binary(let binary) = operation.kind, binary == .divide || binary == .remainder,
            function.type(operation.results[0]).element == .index, !constants.contains(operation.operands[1])
        else { return nil }
        let result = out.register(.b64), sources = operands.map { Source.register($0) }
        let largest = out.b64(.maximum, sources[0], sources[1])
        let least = out.b64(.minimum, sources[0], sources[1])
        let isShort = both(
            out.compare(.greaterOrEqual, .s64, .register(least), .integer(0)),
            out.compare(.less, .s64, .register(largest), .integer(1 << 31)))
        let short = nested {
            let narrow = sources.map { Source.register(out.make(.b32, .convert(from: .s64, to: .s32), [$0])) }
            var found = out.b32(.divide, .u32, narrow[0], narrow[1])
            if binary == .remainder {
                let whole = out.b32(.multiply, .s32, .register(found), narrow[1])
                found = out.b32(.subtract, .s32, narrow[0], .register(whole))
            }
            out.write(result, .convert(from: .u32, to: .s64), [.register(found)])
        }
        let long = nested { out.write(result, .arithmetic(binary.arithmetic, .s64), sources) }
        out.append(.conditional(isShort, then: short, otherwise: long))
        return result
    }

    /// Only the program's first thread writes.
    private func emitScalarStore(_ operation: Operation, _ view: Int) {
        guard let value = operation.operands.last, let register = scalars[value] else { return }
        let address = address(operation, view, except: nil)
        let first = out.compare(.equal, .s32, .register(place.thread), .integer(0))
        out.emit(
            .store(.global, function.views[view].dtype, offset: 0),
            [.register(address), .register(stored(register, view, function.type(value).element))],
            guardedBy: first)
    }

    private func emitCheck(_ operation: Operation, _ message: Int) {
        guard let condition = scalars[operation.operands[0]], let value = scalars[operation.operands[1]]
        else { return }
        let first = out.compare(.equal, .s32, .register(place.thread), .integer(0))
        let fails = out.make(.predicate, .arithmetic(.not, .predicate), [.register(condition)])
        let reports = out.make(
            .predicate, .arithmetic(.and, .predicate), [.register(fails), .register(first)])
        let record = out.parameter(.b64, parameters.failure)
        out.emit(
            .fail, [.register(record), .integer(message), .register(place.program), .register(value)],
            guardedBy: reports)
    }

    /// The address of the element at the operation's indices, that of dimension `except` left out.
    func address(_ operation: Operation, _ view: Int, except: Int?) -> Register {
        var elements: Register?
        for dimension in 0..<function.views[view].rank where dimension != except {
            guard let index = scalars[operation.operands[dimension]] else { continue }
            let stride = Source.register(views[view].strides[dimension])
            let isUnit = plan.facts.isContiguous(view, dimension)
            let step = isUnit ? index : out.b64(.multiply, .register(index), stride)
            elements = elements.map { out.b64(.add, .register($0), .register(step)) } ?? step
        }
        let base = out.parameter(.b64, parameters.views[view])
        guard let elements else { return base }
        let bytes = out.b64(
            .multiply, .register(elements), .integer(function.views[view].dtype.byteCount))
        return out.b64(.add, .register(base), .register(bytes))
    }

    // MARK: Storage types

    /// What a load of the view gives: f32 for floats, b64 for 8-byte integers, else b32.
    func loadType(_ view: Int) -> RegisterType {
        let dtype = function.views[view].dtype
        return dtype.widensToFloat ? .f32 : dtype == .i64 ? .b64 : .b32
    }

    /// A loaded register as the element kind the kernel reads.
    func converted(_ register: Register, _ view: Int, to element: ElementKind) -> Register {
        let loaded = loadType(view)
        switch (loaded, element) {
        case (.b32, .index):
            let from: NumberType = function.views[view].dtype == .i32 ? .s32 : .u32
            return out.make(.b64, .convert(from: from, to: .s64), [.register(register)])
        case (.b64, .i32), (.b64, .u32):
            return out.make(.b32, .convert(from: .s64, to: .s32), [.register(register)])
        case (.b32, .mask): return out.compare(.notEqual, .s32, .register(register), .integer(0))
        default: return register
        }
    }

    /// A register of an element kind as a store of the view takes it.
    func stored(_ register: Register, _ view: Int, _ element: ElementKind) -> Register {
        let wanted = loadType(view)
        switch (element, wanted) {
        case (.index, .b32): return out.make(.b32, .convert(from: .s64, to: .s32), [.register(register)])
        case (.i32, .b64): return out.make(.b64, .convert(from: .s32, to: .s64), [.register(register)])
        case (.mask, .b32): return out.select(.b32, register, .integer(1), .integer(0))
        default: return register
        }
    }

    // MARK: Elementwise

    /// One lane's, or a scalar's, result.
    func compute(_ operation: Operation, _ operands: [Register]) -> Register {
        let sources = operands.map { Source.register($0) }
        let element = function.type(operation.operands[0]).element
        switch operation.kind {
        case .unary(let unary): return unaryResult(unary, element, sources[0])
        case .binary(let binary):
            let kind = InstructionKind.arithmetic(binary.arithmetic, element.number)
            return out.make(element.register, kind, sources)
        case .compare(let comparison):
            return out.make(.predicate, .compare(comparison, element.number), sources)
        case .select:
            let type = function.type(operation.results[0]).element
            if type == .mask { return maskSelect(sources) }
            return out.make(type.register, .select, sources)
        case .multiplyAdd: return out.make(.f32, .arithmetic(.multiplyAdd, .f32), sources)
        case .round(let dtype): return out.make(.f32, .round(dtype), sources)
        case .convert(let target): return conversion(element, target, operands[0])
        case .reinterpret(let target): return out.make(target.register, .move, sources)
        default: preconditionFailure("\(operation.kind) is not elementwise")
        }
    }

    private func maskSelect(_ sources: [Source]) -> Register {
        let yes = out.make(.predicate, .arithmetic(.and, .predicate), [sources[0], sources[1]])
        let not = out.make(.predicate, .arithmetic(.not, .predicate), [sources[0]])
        let no = out.make(.predicate, .arithmetic(.and, .predicate), [.register(not), sources[2]])
        return out.make(.predicate, .arithmetic(.or, .predicate), [.register(yes), .register(no)])
    }

    private func unaryResult(_ unary: UnaryOperation, _ element: ElementKind, _ x: Source) -> Register {
        switch unary {
        case .negate: out.make(element.register, .arithmetic(.negate, element.number), [x])
        case .not: out.make(element.register, .arithmetic(.not, element.number), [x])
        case .abs: out.f32(.abs, x)
        case .sqrt: out.f32(.squareRoot, x)
        case .rsqrt: out.f32(.reciprocalSquareRoot, x)
        case .reciprocal: out.f32(.reciprocal, x)
        case .floor: out.f32(.floor, x)
        case .exp: out.exp(x)
        case .decay: out.decay(x)
        case .log: out.log(x)
        case .tanh: out.tanh(x)
        case .erf: out.erf(x)
        case .sigmoid: out.sigmoid(x)
        case .sin: out.sine(x, ahead: 0)
        case .cos: out.sine(x, ahead: 1)
        }
    }

    private func conversion(_ source: ElementKind, _ target: ElementKind, _ register: Register) -> Register {
        switch (source, target) {
        case (.i32, .u32), (.u32, .i32): register
        case (.mask, .f32): out.select(.f32, register, .float(1), .float(0))
        case (.mask, _): out.select(.b32, register, .integer(1), .integer(0))
        default:
            out.make(
                target.register, .convert(from: source.number, to: target.number), [.register(register)])
        }
    }
}

extension BinaryOperation {
    var arithmetic: Arithmetic {
        switch self {
        case .add: .add
        case .subtract: .subtract
        case .multiply: .multiply
        case .divide: .divide
        case .remainder: .remainder
        case .maximum: .maximum
        case .minimum: .minimum
        case .multiplyHigh: .multiplyHigh
        case .and: .and
        case .or: .or
        case .xor: .xor
        case .shiftLeft: .shiftLeft
        case .shiftRight: .shiftRight
        }
    }
}
