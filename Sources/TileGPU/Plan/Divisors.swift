import Tile

/// Powers of two that divide positions and lengths in every program of a launch. Accesses of 16 bytes and
/// unguarded vectors rest on them.
struct Divisors {
    private var known: [ValueID: Int] = [:]
    private var constants: [ValueID: Int] = [:]
    /// Sums of a value and a constant.
    private var sums: [ValueID: (base: ValueID, constant: Int)] = [:]

    /// That of 0.
    private static let most = 1 << 30

    init(_ function: TileFunction, _ layouts: [GPULayout]) {
        // Operands come before their users, so one walk finds them all.
        function.body.forEachOperation { operation in
            guard let result = operation.results.first else { return }
            note(operation, result)
            if let divisor = divisor(of: operation, function, layouts) { known[result] = divisor }
        }
    }

    /// 1 if nothing is known.
    func divisor(of value: ValueID) -> Int { known[value] ?? 1 }

    /// Of how many lanes a length is.
    func length(_ extent: Extent) -> Int {
        extent.count.map { Swift.min(divisor(of: $0), extent.capacity & -extent.capacity) }
            ?? extent.capacity
    }

    /// A value as another plus a constant.
    func offset(of value: ValueID) -> (base: ValueID, constant: Int) { sums[value] ?? (value, 0) }

    private mutating func note(_ operation: Operation, _ result: ValueID) {
        switch operation.kind {
        case .constant(.index(let constant)): constants[result] = constant
        case .binary(.add):
            let operands = operation.operands
            if let constant = constants[operands[1]] {
                sums[result] = (operands[0], constant)
            } else if let constant = constants[operands[0]] {
                sums[result] = (operands[1], constant)
            }
        default: break
        }
    }

    private func divisor(of operation: Operation, _ function: TileFunction, _ layouts: [GPULayout]) -> Int? {
        let operands = operation.operands
        switch operation.kind {
        case .constant(.index(let constant)):
            return constant == 0 ? Self.most : 1 << Swift.min(30, constant.trailingZeroBitCount)
        case .size(let view, let dimension):
            let isLast = dimension == function.views[view].rank - 1
            return isLast && view < layouts.count && layouts[view].hasWholeVectors
                ? 16 / function.views[view].dtype.byteCount : nil
        case .binary(.multiply):
            return Swift.min(Self.most, divisor(of: operands[0]) * divisor(of: operands[1]))
        case .binary(.add), .binary(.subtract), .binary(.minimum), .binary(.maximum):
            return Swift.min(divisor(of: operands[0]), divisor(of: operands[1]))
        default: return nil
        }
    }
}
