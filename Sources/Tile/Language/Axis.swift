/// A run of consecutive positions along one dimension of a view: lane i stands for position start + i.
/// Made by `Program.range`; add a scalar to shift it.
public struct Axis {
    let program: Program
    let start: Tile<Int>
    let extent: ExtentID
    let location: SourceLocation

    /// The positions themselves, as 32-bit integers.
    public var index: Tile<Int32> {
        let start = start.int32
        return Tile(
            program, program.emit(.iota, [start.id], ValueType(element: .i32, extent: extent), at: location))
    }

    /// The same number of positions, further on.
    public static func + (axis: Axis, offset: Tile<Int>) -> Axis {
        Axis(
            program: axis.program, start: axis.start + offset, extent: axis.extent, location: axis.location)
    }

    /// The same number of positions, further on.
    public static func + (axis: Axis, offset: Int) -> Axis {
        axis + Tile(axis.program, axis.program.constant(.index(offset)))
    }
}

extension Program {
    /// Positions 0 ..< count. Ranges of one count share a length, so that their tiles combine.
    public func range(_ count: Int, file: StaticString = #fileID, line: UInt = #line) -> Axis {
        let location = SourceLocation(file, line)
        if count < 1 {
            report(location, "a range of \(count) positions", "Give it at least one")
        }
        return Axis(
            program: self, start: Tile(self, constant(.index(0))), extent: extent(count), location: location)
    }

    /// Positions 0 ..< min(capacity, limit): a dimension whose size is known at launch, up to a capacity.
    public func range(
        capacity: Int, limit: Tile<Int>, file: StaticString = #fileID, line: UInt = #line
    ) -> Axis {
        range(
            from: Tile(self, constant(.index(0))), capacity: capacity, limit: limit, file: file, line: line)
    }

    /// Positions start ..< min(start + capacity, limit): a block of a longer dimension, cut at its end.
    /// Lanes past the limit do not exist: they are not loaded, stored or counted in a reduction.
    public func range(
        from start: Tile<Int>, capacity: Int, limit: Tile<Int>, file: StaticString = #fileID,
        line: UInt = #line
    ) -> Axis {
        let location = SourceLocation(file, line)
        let count = maximum(minimum(limit - start, capacity), 0)
        function.extents.append(Extent(capacity: capacity, count: count.id))
        return Axis(
            program: self, start: start, extent: ExtentID(number: function.extents.count - 1),
            location: location)
    }

    /// A tile of one value in every lane of an axis, such as a sum to start from.
    public func full(
        _ axis: Axis, _ value: Float, file: StaticString = #fileID, line: UInt = #line
    ) -> Tile<Float> {
        splat(axis, value, SourceLocation(file, line))
    }

    /// A tile of one 32-bit integer in every lane of an axis.
    public func full(
        _ axis: Axis, integer value: Int32, file: StaticString = #fileID, line: UInt = #line
    ) -> Tile<Int32> {
        splat(axis, value, SourceLocation(file, line))
    }

    private func splat<E: TileNumber>(_ axis: Axis, _ value: E, _ location: SourceLocation) -> Tile<E> {
        let scalar = constant(value.tileConstant.value)
        return Tile(
            self, emit(.splat, [scalar], ValueType(element: E.kind, extent: axis.extent), at: location))
    }

    private func extent(_ count: Int) -> ExtentID {
        let wanted = Extent(capacity: count, count: nil)
        if let known = function.extents.firstIndex(of: wanted) { return ExtentID(number: known) }
        function.extents.append(wanted)
        return ExtentID(number: function.extents.count - 1)
    }
}
