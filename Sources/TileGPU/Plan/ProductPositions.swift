import Tile

/// Where a product's lines are, and the parts of them: scalars of a kernel that a block computes once for a tile, for the
/// tile's first row.
struct ProductPositions {
    /// Where a's line is, where each product's lines of b begin, and the part.
    let a: ValueID
    let b: [ValueID]
    let parts: [(startOfA: ValueID, startOfB: ValueID)]
    /// Nil where whole lines are multiplied.
    let count: ValueID?
    /// What computes them, in order.
    let operations: [Operation]

    /// - Parameter rows: rows that share a factor's tile, and so must share these scalars.
    init(
        _ function: TileFunction, rows: Int, _ divisors: Divisors, _ refused: (String) -> LoweringError
    ) throws {
        let products = function.body.operations.filter(\.isProduct)
        guard let first = products.first else {
            throw refused("a product inside a loop or conditional. Multiply first")
        }
        a = first.operands[0]
        b = products.map { $0.operands[1] }
        parts = products.compactMap { $0.operands.count > 2 ? ($0.operands[2], $0.operands[3]) : nil }
        count = first.operands.count > 2 ? first.operands[4] : nil
        for product in products where Self.shared(product) != Self.shared(first) {
            throw refused("products of several lines of the first factor. Give all the same")
        }
        let dependence = RowDependence.find(function.body, rows: rows, function)
        if dependence[a] != .follows {
            throw refused(
                "a product of other lines than those of consecutive programs. Give `index`, or `index % n` "
                    + "with n a multiple of \(rows)")
        }
        let same = b + parts.flatMap { [$0.startOfA, $0.startOfB] } + (count.map { [$0] } ?? [])
        if same.contains(where: { dependence[$0] != .same }) {
            throw refused(
                "lines of the second factor, or parts of lines, that differ from row to row. They may depend on "
                    + "`index / n`, with n a multiple of \(rows), and on inputs there")
        }
        if let count, divisors.divisor(of: count) % ProductTiling.depth != 0 {
            throw refused("parts of lines of another length than a multiple of \(ProductTiling.depth)")
        }
        operations = Self.slice(function.body, [a] + same)
    }

    /// What products of one tile share: a's line, where it begins, and the count.
    private static func shared(_ product: Operation) -> [ValueID] {
        product.operands.enumerated().filter { [0, 2, 4].contains($0.offset) }.map(\.element)
    }

    /// The operations that some values rest on.
    private static func slice(_ body: Region, _ wanted: [ValueID]) -> [Operation] {
        var needed = Set(wanted)
        var found: [Operation] = []
        for operation in body.operations.reversed() where operation.results.contains(where: needed.contains) {
            needed.formUnion(operation.operands)
            found.append(operation)
        }
        return found.reversed()
    }
}

extension Operation {
    var isProduct: Bool { if case .product = kind { true } else { false } }
}

/// How a scalar varies over the rows of a product's tile: not at all, or as the row does.
private enum RowDependence {
    case same, follows

    /// Of every scalar of which it is known.
    static func find(_ body: Region, rows: Int, _ function: TileFunction) -> [ValueID: RowDependence] {
        var known: [ValueID: RowDependence] = [:]
        var programs: Set<ValueID> = []
        var multiples: Set<ValueID> = []
        for operation in body.operations {
            guard let result = operation.results.first, !function.type(result).isTile else { continue }
            let operands = operation.operands
            if case .constant(.index(let constant)) = operation.kind, constant > 0, constant % rows == 0 {
                multiples.insert(result)
            }
            if operation.kind == .programIndex { programs.insert(result) }
            let cutsTiles =
                operands.count == 2 && programs.contains(operands[0]) && multiples.contains(operands[1])
            switch operation.kind {
            case .programIndex: known[result] = .follows
            case .binary(.divide) where cutsTiles: known[result] = .same
            case .binary(.remainder) where cutsTiles: known[result] = .follows
            case .binary(.add) where Set(operands.map { known[$0] }) == [.same, .follows]:
                known[result] = .follows
            case .product, .reduce, .store, .loop, .conditional, .check: continue
            case .load(let view, _) where function.views[view].access != .input: continue
            default: if operands.allSatisfy({ known[$0] == .same }) { known[result] = .same }
            }
        }
        return known
    }
}
