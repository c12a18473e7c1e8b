import Tile

/// The element that a length's lane 0 is in a row that may start at any address: by dimension its position, nil for the
/// program's number. Rows of a loop that are a multiple of 16 apart are as far from a multiple of 16 bytes as its first.
struct RowStart: Hashable {
    let view: Int
    let position: [Int?]
}

/// Which lengths vectors serve that do not fill them: rows whose length is no multiple of a vector, or that start at odd
/// addresses.
///
/// Vectors are at multiples of 16 bytes whatever the rows are. So the first may begin before its row, and the last end
/// behind it; of those each lane is moved alone, and the others are moved whole. That works where all rows that a length
/// goes through are as far from such a multiple as each other.
struct WideLengths {
    /// By length, as all here: where it starts, of those whose rows are at any address.
    private(set) var starts: [Int: RowStart] = [:]
    /// Lengths of which some lanes are moved 16 bytes at a time.
    private var wide: Set<Int> = []
    /// Lengths of which some rows would be moved lane by lane.
    private var narrow: Set<Int> = []

    init(_ function: TileFunction, _ layouts: [GPULayout], _ divisors: Divisors) {
        // A product's lanes are where tensor cores leave them.
        if !function.products.isEmpty { return }
        var rows = Rows(function: function, layouts: layouts, divisors: divisors)
        rows.visit(function.body)
        (wide, narrow) = (rows.aligned.union(rows.vectors), rows.narrow)
        for (extent, starts) in rows.shifted {
            // A shift that suits one row takes alignment from another. The narrowest elements tell the most of it.
            let start = starts.min {
                function.views[$0.view].dtype.byteCount < function.views[$1.view].dtype.byteCount
            }
            if let start, starts.allSatisfy({ $0.position == start.position }),
                !rows.aligned.contains(extent), !narrow.contains(extent)
            {
                self.starts[extent] = start
                wide.insert(extent)
            } else {
                narrow.insert(extent)
            }
        }
    }

    /// Whether vectors of so many lanes serve a length. Short ones are better served by more threads with fewer lanes.
    func suits(_ vector: Int, _ extent: Int, length: Int, capacity: Int) -> Bool {
        if length % vector == 0 && starts[extent] == nil { return true }
        return wide.contains(extent) && !narrow.contains(extent) && capacity >= 8 * vector
    }
}

/// What a function's accesses say of its lengths.
private struct Rows {
    let function: TileFunction
    let layouts: [GPULayout]
    let divisors: Divisors
    /// By what rows a length goes through: aligned ones, those at any address, and others; and whether through aligned
    /// arrays of one dimension, which caches hold.
    var aligned: Set<Int> = []
    var shifted: [Int: [RowStart]] = [:]
    var narrow: Set<Int> = []
    var vectors: Set<Int> = []
    /// Indices that are known, nil for the program's number.
    private var known: [ValueID: Int?] = [:]

    init(function: TileFunction, layouts: [GPULayout], divisors: Divisors) {
        (self.function, self.layouts, self.divisors) = (function, layouts, divisors)
    }

    mutating func visit(_ region: Region) {
        for operation in region.operations {
            switch operation.kind {
            case .constant(.index(let value)): known[operation.results[0]] = .some(value)
            case .programIndex: known[operation.results[0]] = .some(nil)
            case .load(let view, let axis?):
                note(view, axis, operation, function.type(operation.results[0]).extent)
            case .store(let view, let axis?):
                note(view, axis, operation, operation.operands.last.flatMap { function.type($0).extent })
            case .loop: known[operation.regions[0].arguments[0]] = firstRow(operation)
            default: break
            }
            for inner in operation.regions { visit(inner) }
        }
    }

    /// What stands for all rows that a loop's counter picks; nil where they differ.
    private func firstRow(_ loop: Operation) -> Int?? {
        divisors.divisor(of: loop.operands[2]) % 16 == 0 ? known[loop.operands[0]] : nil
    }

    private mutating func note(
        _ view: Int, _ axis: Int, _ operation: Operation, _ extent: ExtentID?
    ) {
        guard let extent = extent?.number else { return }
        let (layout, rank) = (layouts[view], function.views[view].rank)
        let isRow = axis == rank - 1 && layout.hasUnitStride
        let whole = 16 / function.views[view].dtype.byteCount
        if isRow && layout.isAligned && divisors.divisor(of: operation.operands[axis]) % whole == 0 {
            if rank > 1 { aligned.insert(extent) } else { vectors.insert(extent) }
        } else if isRow && layout.isShifted, let start = start(view, operation) {
            shifted[extent, default: []].append(start)
        } else if rank > 1 {
            narrow.insert(extent)
        }
    }

    /// Nil where it is not known before the kernel begins.
    private func start(_ view: Int, _ operation: Operation) -> RowStart? {
        var position: [Int?] = []
        for index in operation.operands.prefix(function.views[view].rank) {
            guard let value = known[index] else { return nil }
            position.append(value)
        }
        return RowStart(view: view, position: position)
    }
}
