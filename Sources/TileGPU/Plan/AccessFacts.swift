import Tile

/// What loads and stores may do, whatever is planned: where their lanes are in memory.
struct AccessFacts {
    let function: TileFunction
    let layouts: [GPULayout]
    let divisors: Divisors
    let vector: Int
    private let lengths: WideLengths

    init(_ function: TileFunction, _ layouts: [GPULayout], vector: Int) {
        self.function = function
        self.layouts = layouts
        self.vector = vector
        divisors = Divisors(function, layouts)
        lengths = WideLengths(function, layouts, divisors)
    }

    /// What lane 0 of a length is, where its address may be anything and vectors are not at multiples of it.
    func start(ofLength number: Int) -> RowStart? { vector == 1 ? nil : lengths.starts[number] }

    func bytes(_ view: Int) -> Int { function.views[view].dtype.byteCount }

    /// Whether lanes along a dimension are contiguous.
    func isContiguous(_ view: Int, _ axis: Int) -> Bool {
        axis == function.views[view].rank - 1 && layouts[view].hasUnitStride
    }

    /// Whether vectors are at multiples of what one access moves, in every program.
    func isAligned(_ operation: Operation, _ view: Int, _ axis: Int) -> Bool {
        let lanes = operation.isStore ? operation.operands.last : operation.results.first
        if let extent = lanes.flatMap({ function.type($0).extent }), start(ofLength: extent.number) != nil {
            return layouts[view].isShifted
        }
        return layouts[view].isAligned
            && divisors.divisor(of: operation.operands[axis]) % Swift.min(vector, 16 / bytes(view)) == 0
    }

    /// Contiguous lanes that one access moves; nil where lanes are strided.
    func width(_ operation: Operation, _ view: Int, _ axis: Int) -> Int? {
        guard isContiguous(view, axis) else { return nil }
        return isAligned(operation, view, axis) ? Swift.min(vector, 16 / bytes(view)) : 1
    }

    /// Whether a thread's vectors can be copied into shared memory in pieces of 16 bytes.
    func canCopy(_ operation: Operation, _ view: Int, _ axis: Int) -> Bool {
        isContiguous(view, axis) && vector * bytes(view) % 16 == 0 && isAligned(operation, view, axis)
    }
}
