import Tile

/// What loads and stores may do, whatever is planned: where their lanes are in memory.
struct AccessFacts {
    let function: TileFunction
    let layouts: [GPULayout]
    let divisors: Divisors
    let vector: Int

    init(_ function: TileFunction, _ layouts: [GPULayout], vector: Int) {
        self.function = function
        self.layouts = layouts
        self.vector = vector
        divisors = Divisors(function, layouts)
    }

    func bytes(_ view: Int) -> Int { function.views[view].dtype.byteCount }

    /// Whether lanes along a dimension are contiguous.
    func isContiguous(_ view: Int, _ axis: Int) -> Bool {
        axis == function.views[view].rank - 1 && layouts[view].hasUnitStride
    }

    /// Whether lane 0 is at a multiple of what one access moves, in every program.
    func isAligned(_ operation: Operation, _ view: Int, _ axis: Int) -> Bool {
        layouts[view].isAligned
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
