package import LigerRuntime
import Tile

extension Parameter {
    /// What is here of a parameter of which each rank keeps a part.
    package struct Part {
        /// Of all elements, those that each rank keeps.
        package let parts: [Range<Int>]
        /// Those that are here.
        package let range: Range<Int>
        /// These, in one dimension, stored as all are.
        package let array: NDArray
        /// Of all elements.
        package let shape: [Int]
        fileprivate let scale: NDArray?
    }

    /// The part that is kept here; nil where everything is.
    package var part: Part? { owner.ownPart }

    /// Keeps a rank's elements and gives up the others: from now on `value` is there from `take` to `letGo` alone.
    ///
    /// - Parameter parts: the elements of each rank.
    /// - Throws: `RuntimeError` when memory runs out.
    package func keep(_ parts: [Range<Int>], of rank: Int) throws {
        precondition(part == nil, "a parameter is cut once")
        let range = parts[rank]
        let whole = memoryInFloat8?.values ?? value
        let own = try NDArray(empty: [range.count], dtype: whole.dtype, device: whole.device)
        if !range.isEmpty { try whole.flattened.sliced(0, range).copyBytes(to: own) }
        ownPart = Part(
            parts: parts, range: range, array: own, shape: whole.shape, scale: memoryInFloat8?.scale)
        letGo()
    }

    /// All elements, which ranks have given each other, shaped and stored as `part` says.
    package func take(_ whole: NDArray) {
        guard let part else { preconditionFailure("what is cut is gathered") }
        if let scale = part.scale {
            owner.memoryInFloat8 = Float8Factor(values: whole, scale: scale)
        } else {
            owner.memory = whole
        }
    }

    /// Gives up all elements but the part that is kept.
    package func letGo() {
        precondition(part != nil, "the only copy of a parameter stays")
        (owner.memory, owner.memoryInFloat8) = (nil, nil)
    }

    /// Sets the numbers to those that `body` writes to an array like `value`, or what is kept of them.
    ///
    /// - Throws: what `body` throws; `RuntimeError` when memory runs out.
    package func set(_ body: (NDArray) throws -> Void) throws {
        guard let part else { return try body(value) }
        let whole = try NDArray(empty: shape, dtype: dtype, device: part.array.device)
        try body(whole)
        if part.range.isEmpty { return }
        try whole.flattened.sliced(0, part.range).copyBytes(to: part.array)
    }

    /// Some elements, which are here, in one dimension; for nil all, in their shape.
    func elements(_ range: Range<Int>?) -> NDArray {
        if let part, part.range == range { return part.array }
        return value.elements(range)
    }

    /// Bytes of what is here.
    package var byteCount: Int {
        part?.array.byteCount ?? owner.memoryInFloat8?.values.byteCount ?? value.byteCount
    }

    /// Where the numbers are.
    package var device: Device { (part?.array ?? owner.memoryInFloat8?.values ?? value).device }

    /// How derivatives get the numbers, which they should not keep; nil where they may.
    var recipe: Recipe<NDArray>? { part == nil ? nil : .asking { self.value } }
}
