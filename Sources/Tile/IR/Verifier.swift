/// A rule of the IR that a function breaks. Seeing one means that a pass, not a kernel, is wrong.
package struct VerificationError: Error, CustomStringConvertible {
    package let function: String
    package let stage: String
    package let location: SourceLocation
    package let rule: String

    package var description: String {
        "after \(stage), kernel \(function) breaks a rule of Tile IR at \(location): \(rule). "
            + "This is a mistake of the compiler: please report it with the kernel's source"
    }
}

extension TileFunction {
    /// Checks every rule of the IR: values defined once and before use, types as each operation demands.
    ///
    /// - Throws: `VerificationError` at the first broken rule.
    /// - Cost: linear in the number of operations.
    package func verify(after stage: String) throws {
        var verifier = Verifier(function: self, stage: stage)
        for extent in extents {
            if let count = extent.count, type(count) != .scalar(.index) {
                throw verifier.failure("an extent's count must be an index scalar")
            }
        }
        if let condition {
            let isOne =
                condition < views.count && views[condition].dtype == .f32
                && views[condition].rank == 1 && views[condition].access == .input
            if !isOne { throw verifier.failure("a condition is an input of f32 and rank 1") }
        }
        if let limit {
            let isOne =
                limit < views.count && views[limit].dtype == .i32
                && views[limit].rank == 1 && views[limit].access == .input
            if !isOne { throw verifier.failure("a limit of programs is an input of i32 and rank 1") }
        }
        if let blocks = columnBlocks {
            let fits =
                blocks.view < views.count && blocks.width > 0
                && (0..<views[blocks.view].rank).contains(blocks.dimension)
            if !fits { throw verifier.failure("blocks of columns cut a dimension of a view") }
        }
        try verifier.check(body)
    }
}

/// Walks a function once, in order, remembering what is defined where.
private struct Verifier {
    let function: TileFunction
    let stage: String
    var defined: Set<ValueID> = []
    var everDefined: Set<ValueID> = []
    var location = SourceLocation("kernel start", 0)

    init(function: TileFunction, stage: String) {
        self.function = function
        self.stage = stage
    }

    func failure(_ rule: String) -> VerificationError {
        VerificationError(function: function.name, stage: stage, location: location, rule: rule)
    }

    func expect(_ condition: Bool, _ rule: @autoclosure () -> String) throws {
        if !condition { throw failure(rule()) }
    }

    mutating func define(_ value: ValueID) throws {
        try expect(everDefined.insert(value).inserted, "value %\(value.number) is defined twice")
        defined.insert(value)
        if let extent = function.type(value).extent, let count = function.extents[extent.number].count {
            try expect(defined.contains(count), "a tile's count %\(count.number) is not defined before it")
        }
        try expect(
            !(function.type(value).isTile && function.type(value).element == .index),
            "positions are scalars, %\(value.number) is a tile")
    }

    mutating func check(_ region: Region) throws {
        let outer = defined
        for argument in region.arguments { try define(argument) }
        for operation in region.operations {
            location = operation.location
            for operand in operation.operands {
                try expect(defined.contains(operand), "%\(operand.number) is used before it is defined")
            }
            for nested in operation.regions { try check(nested) }
            location = operation.location
            try checkRule(of: operation)
            for result in operation.results { try define(result) }
        }
        for value in region.yields {
            try expect(defined.contains(value), "%\(value.number) is yielded before it is defined")
        }
        defined = outer
    }

    func types(_ values: [ValueID]) -> [ValueType] { values.map(function.type) }

    func counts(_ operation: Operation, operands: Int, results: Int) throws {
        try expect(
            operation.operands.count == operands && operation.results.count == results,
            "\(operation.kind) takes \(operands) operands and gives \(results) results")
    }

    /// One result whose extent is that of the tiles among the operands.
    func elementwise(_ operation: Operation, operands: Int, result: ElementKind) throws {
        try counts(operation, operands: operands, results: 1)
        let extents = Set(types(operation.operands).compactMap(\.extent))
        try expect(extents.count <= 1, "\(operation.kind) mixes tiles of different lengths")
        let expected = ValueType(element: result, extent: extents.first)
        try expect(
            function.type(operation.results[0]) == expected, "\(operation.kind) has a result of a wrong type")
    }

    func checkRule(of operation: Operation) throws {
        let operands = types(operation.operands)
        switch operation.kind {
        case .constant(let constant):
            try elementwise(operation, operands: 0, result: constant.element)
        case .programIndex, .columnBlock, .size:
            try elementwise(operation, operands: 0, result: .index)
        case .argument(let position):
            try expect(position < function.scalars.count, "no scalar argument \(position)")
            try elementwise(operation, operands: 0, result: function.scalars[position].element)
        case .iota:
            try counts(operation, operands: 1, results: 1)
            try expect(operands[0] == .scalar(.i32), "iota starts at an i32 scalar")
        case .splat:
            try counts(operation, operands: 1, results: 1)
            let type = function.type(operation.results[0])
            try expect(type.isTile && operands[0] == .scalar(type.element), "splat copies a scalar to a tile")
        case .unary(let unary):
            let element = operands[0].element
            let allowed = unary == .not ? element == .u32 || element == .mask : element == .f32
            try expect(allowed || (unary == .negate && element == .i32), "\(unary) of \(element)")
            try elementwise(operation, operands: 1, result: element)
        case .binary(let binary):
            try checkBinary(binary, operands)
            try elementwise(operation, operands: 2, result: operands[0].element)
        case .compare:
            try expect(
                operands.count == 2 && operands[0].element == operands[1].element, "compare mixes kinds")
            try elementwise(operation, operands: 2, result: .mask)
        case .select:
            try expect(
                operands.count == 3 && operands[0].element == .mask
                    && operands[1].element == operands[2].element, "select needs a mask and two of a kind")
            try elementwise(operation, operands: 3, result: operands[1].element)
        case .multiplyAdd:
            try expect(operands.allSatisfy { $0.element == .f32 }, "multiplyAdd is for f32")
            try elementwise(operation, operands: 3, result: .f32)
        case .convert(let element):
            try elementwise(operation, operands: 1, result: element)
        case .reinterpret(let element):
            try expect(
                [operands[0].element, element].sorted { $0.rawValue < $1.rawValue } == [.f32, .u32],
                "reinterpret is from f32 to u32 or back")
            try elementwise(operation, operands: 1, result: element)
        case .round(let dtype):
            try expect(
                (dtype == .bf16 || dtype == .f16) && operands[0].element == .f32,
                "round is from f32 to a 16-bit float")
            try elementwise(operation, operands: 1, result: .f32)
        case .load, .gather, .store:
            try checkMemory(operation, operands)
        case .product(let product): try checkProduct(product, operation, operands)
        case .reduce(let reduction): try checkReduction(reduction, operation, operands)
        case .loop, .conditional, .check:
            try checkControl(operation, operands)
        }
    }

    private func checkReduction(
        _ reduction: Reduction, _ operation: Operation, _ operands: [ValueType]
    ) throws {
        try counts(operation, operands: reduction.operandCount, results: reduction.resultCount)
        try expect(operands.allSatisfy { $0.isTile }, "a reduction folds tiles")
        try expect(Set(operands.map(\.extent)).count == 1, "a reduction mixes lengths")
        try expect(types(operation.results).allSatisfy { !$0.isTile }, "a reduction gives scalars")
    }

    private func checkBinary(_ binary: BinaryOperation, _ operands: [ValueType]) throws {
        try expect(
            operands.count == 2 && operands[0].element == operands[1].element,
            "\(binary) mixes element kinds")
        let element = operands[0].element
        let allowed: Bool =
            switch binary {
            case .add, .subtract, .multiply, .maximum, .minimum: element != .mask
            case .divide: element == .f32 || element == .index
            case .remainder: element == .index
            case .multiplyHigh, .shiftLeft, .shiftRight: element == .u32
            case .and, .or, .xor: element == .u32 || element == .mask
            }
        try expect(allowed, "no \(binary) of \(element)")
    }

    private func checkMemory(_ operation: Operation, _ operands: [ValueType]) throws {
        guard let number = operation.view, number < function.views.count else {
            throw failure("a view that is not declared")
        }
        let view = function.views[number]
        try expect(
            operands.count == view.rank + (operation.isStore ? 1 : 0), "one index per dimension of a view")
        for (dimension, operand) in operands.prefix(view.rank).enumerated() {
            if case .gather(_, let axis) = operation.kind, axis == dimension {
                try expect(operand.isTile && operand.element == .i32, "gathered positions are an i32 tile")
            } else {
                try expect(operand == .scalar(.index), "a view's index is an index scalar")
            }
        }
        if case .store(_, let axis) = operation.kind, let value = operands.last {
            try expect((axis != nil) == value.isTile, "a tile is stored along an axis, a scalar is not")
            try expect(operation.results.isEmpty && view.access != .input, "a store to an input")
        } else {
            try expect(operation.results.count == 1 && view.access != .output, "a load from an output")
            let isTile = function.type(operation.results[0]).isTile
            if case .load(_, let axis) = operation.kind {
                try expect(isTile == (axis != nil), "load's shape")
            }
        }
    }

    private func checkProduct(
        _ product: Contraction, _ operation: Operation, _ operands: [ValueType]
    ) throws {
        try counts(operation, operands: product.isPart ? 5 : 2, results: 1)
        for (view, contracted) in [(product.a, product.contractedA), (product.b, product.contractedB)] {
            try expect(view < function.views.count, "a view that is not declared")
            let view = function.views[view]
            try expect(
                view.rank == 2 && view.access == .input && view.dtype.isFloat,
                "a product takes matrices of floats that the kernel only reads")
            try expect((0...1).contains(contracted), "a matrix has dimensions 0 and 1")
        }
        try expect(
            operands.allSatisfy { $0 == .scalar(.index) },
            "a product's lines and their parts are at index scalars")
        let type = function.type(operation.results[0])
        try expect(type.isTile && type.element == .f32, "a product gives a tile of f32")
    }

    private func checkControl(_ operation: Operation, _ operands: [ValueType]) throws {
        let results = types(operation.results)
        switch operation.kind {
        case .loop:
            try expect(operands.prefix(3).allSatisfy { $0 == .scalar(.index) }, "loop bounds are indices")
            try expect(operation.regions.count == 1, "a loop has one region")
            try expect(Array(operands.dropFirst(3)) == results, "a loop's results are its carried values")
            try expect(types(operation.regions[0].yields) == results, "a loop yields what it carries")
            try expect(
                types(operation.regions[0].arguments) == [.scalar(.index)] + results,
                "a loop's arguments are its counter and carried values")
        case .conditional:
            try expect(operands == [.scalar(.mask)], "a conditional takes a scalar mask")
            try expect(operation.regions.count == 2, "a conditional has two regions")
            try expect(
                operation.regions.allSatisfy { types($0.yields) == results }, "a conditional's ways differ")
        default:
            try expect(operands == [.scalar(.mask), .scalar(.index)], "a check takes a mask and an index")
        }
    }
}
