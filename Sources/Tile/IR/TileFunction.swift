/// A kernel after tracing: its parameters and one region of SSA operations.
package struct TileFunction: Sendable {
    package var name: String
    package var views: [ViewParameter] = []
    package var scalars: [ScalarParameter] = []
    package var extents: [Extent] = []
    /// The type of each value, by number.
    package var types: [ValueType] = []
    /// What a failed `check` says, by number.
    package var messages: [String] = []
    package var body = Region()
    /// Into what blocks a row's columns are cut, each a program of its own; nil: a row is one program.
    package var columnBlocks: ColumnBlocks?
    /// A view of one f32; where it is 0 a launch does nothing. Nil: every launch does its work.
    package var condition: Int?
    /// A view of one i32; programs from its value on do nothing. Nil: all programs of a launch do their work.
    package var limit: Int?

    package init(name: String) { self.name = name }

    package func type(_ value: ValueID) -> ValueType { types[value.number] }

    /// Adds a value of a type, not yet defined by any operation.
    package mutating func makeValue(_ type: ValueType) -> ValueID {
        types.append(type)
        return ValueID(number: types.count - 1)
    }
}

/// The blocks of a dimension of a view. A launch runs a kernel for each row and each block.
package struct ColumnBlocks: Hashable, Sendable {
    package var view: Int
    package var dimension: Int
    /// Positions of a block; the last may have fewer.
    package var width: Int

    /// How many blocks a view of that shape has.
    package func count(_ shape: [Int]) -> Int { (shape[dimension] + width - 1) / width }
}

/// An array that a launch binds.
package struct ViewParameter: Hashable, Sendable {
    package enum Access: String, Sendable { case input, output, update }

    package var name: String
    package var dtype: DType
    package var rank: Int
    package var access: Access
    package var location: SourceLocation
}

/// A number that a launch binds.
package struct ScalarParameter: Hashable, Sendable {
    package var name: String
    package var element: ElementKind
    package var location: SourceLocation
}

extension Region {
    /// Every operation, nested ones after the one that holds them.
    package func forEachOperation(_ visit: (Operation) -> Void) {
        for operation in operations {
            visit(operation)
            for region in operation.regions { region.forEachOperation(visit) }
        }
    }

    /// Whether anything in it folds a tile's lanes.
    package var reduces: Bool {
        operations.contains { operation in
            if case .reduce = operation.kind { return true }
            return operation.regions.contains(where: \.reduces)
        }
    }

    package var hasLoops: Bool {
        operations.contains { $0.kind == .loop || $0.regions.contains(where: \.hasLoops) }
    }

    /// Replaces operands and yields throughout, nested regions included.
    package mutating func replaceUses(_ replacement: (ValueID) -> ValueID) {
        for i in operations.indices {
            operations[i].operands = operations[i].operands.map(replacement)
            for r in operations[i].regions.indices {
                operations[i].regions[r].replaceUses(replacement)
            }
        }
        yields = yields.map(replacement)
    }
}

extension TileFunction {
    /// Replaces operands, yields and extents' counts throughout.
    package mutating func replaceUses(_ replacement: (ValueID) -> ValueID) {
        body.replaceUses(replacement)
        for i in extents.indices { extents[i].count = extents[i].count.map(replacement) }
    }

    /// The products of the function, in order.
    package var products: [Contraction] {
        var products: [Contraction] = []
        body.forEachOperation { if case .product(let product) = $0.kind { products.append(product) } }
        return products
    }

    /// The product, where a row of the launch is a row of the first factor, and whole lines are multiplied.
    package var wholeProduct: Contraction? {
        let products = body.operations.filter { if case .product = $0.kind { true } else { false } }
        let rows = body.operations.filter { $0.kind == .programIndex }.flatMap(\.results)
        guard case .product(let product)? = products.first?.kind, !product.isPart,
            products.allSatisfy({ rows.contains($0.operands[0]) })
        else { return nil }
        return product
    }

    /// The views that some operation stores to.
    package var storedViews: Set<Int> {
        var stored: Set<Int> = []
        body.forEachOperation { if $0.isStore, let view = $0.view { stored.insert(view) } }
        return stored
    }
}
