import Tile

/// Powers of two that divide positions and lengths in every program of a launch: what 16-byte accesses and
/// whole vectors rest on.
struct Divisors {
    private let function: TileFunction
    private let layouts: [GPULayout]
    private var makers: [ValueID: Operation] = [:]
    private var known: [ValueID: Int] = [:]

    /// That of 0.
    private static let most = 1 << 30

    init(_ function: TileFunction, _ layouts: [GPULayout]) {
        self.function = function
        self.layouts = layouts
        var makers: [ValueID: Operation] = [:]
        function.body.forEachOperation { operation in
            for result in operation.results { makers[result] = operation }
        }
        self.makers = makers
    }

    /// 1 if nothing is known.
    mutating func divisor(of value: ValueID) -> Int {
        if let found = known[value] { return found }
        // A loop's counter may stand in its own bound: until it is found, nothing is known of it.
        known[value] = 1
        let found = makers[value].map { divisor(of: $0) } ?? 1
        known[value] = found
        return found
    }

    /// A value as another plus a constant.
    func offset(of value: ValueID) -> (base: ValueID, constant: Int) {
        guard let maker = makers[value], maker.kind == .binary(.add) else { return (value, 0) }
        let constants = maker.operands.map { operand -> Int? in
            guard case .constant(.index(let constant)) = makers[operand]?.kind else { return nil }
            return constant
        }
        if let constant = constants[1] { return (maker.operands[0], constant) }
        if let constant = constants[0] { return (maker.operands[1], constant) }
        return (value, 0)
    }

    private mutating func divisor(of operation: Operation) -> Int {
        let operands = operation.operands
        switch operation.kind {
        case .constant(.index(let constant)):
            return constant == 0 ? Self.most : 1 << Swift.min(30, constant.trailingZeroBitCount)
        case .size(let view, let dimension):
            let isLast = dimension == function.views[view].rank - 1
            return isLast && view < layouts.count && layouts[view].hasWholeVectors
                ? 16 / function.views[view].dtype.byteCount : 1
        case .binary(.multiply):
            return Swift.min(Self.most, divisor(of: operands[0]) * divisor(of: operands[1]))
        case .binary(.add), .binary(.subtract), .binary(.minimum), .binary(.maximum):
            return Swift.min(divisor(of: operands[0]), divisor(of: operands[1]))
        default: return 1
        }
    }
}
