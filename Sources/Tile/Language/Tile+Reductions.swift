// Folding a tile's lanes to scalars. The order of the folding is fixed for a device and a length, so
// results repeat bit for bit.

/// Sum of the lanes, in the lanes' own type.
public func sum<E: TileNumber>(
    _ a: Tile<E>, file: StaticString = #fileID, line: UInt = #line
) -> Tile<E> {
    a.reduced(.sum, [E.kind], SourceLocation(file, line))
}

/// Sum of the lanes divided by their number.
public func mean(_ a: Tile<Float>, file: StaticString = #fileID, line: UInt = #line) -> Tile<Float> {
    let total = sum(a, file: file, line: line)
    guard let extent = a.program.function.type(a.id).extent else { return total }
    let (capacity, count) = (
        a.program.function.extents[extent.number].capacity, a.program.function.extents[extent.number].count
    )
    if let count { return total / Tile<Int>(a.program, count).float }
    return total / Float(capacity)
}

/// Largest lane; NaN if any lane is.
public func max<E: TileNumber>(
    _ a: Tile<E>, file: StaticString = #fileID, line: UInt = #line
) -> Tile<E> {
    a.reduced(.maximum, [E.kind], SourceLocation(file, line))
}

/// Smallest lane; NaN if any lane is.
public func min<E: TileNumber>(
    _ a: Tile<E>, file: StaticString = #fileID, line: UInt = #line
) -> Tile<E> {
    a.reduced(.minimum, [E.kind], SourceLocation(file, line))
}

/// Largest lane and the number of the first lane that has it.
public func argmax(
    _ a: Tile<Float>, file: StaticString = #fileID, line: UInt = #line
) -> (value: Tile<Float>, lane: Tile<Int32>) {
    let (value, lane) = a.reducedToPair(.argmax, .i32, SourceLocation(file, line))
    return (Tile<Float>(a.program, value), Tile<Int32>(a.program, lane))
}

/// m = max(a) and s = sum(exp(a - m)) in one pass over the lanes, so that log(sum(exp(a))) = m + log(s)
/// without overflow.
///
/// The pass rescales its running sum when the maximum grows (Milakov and Gimelshein, 2018).
public func maxAndSumExp(
    _ a: Tile<Float>, file: StaticString = #fileID, line: UInt = #line
) -> (maximum: Tile<Float>, sum: Tile<Float>) {
    let (maximum, sum) = a.reducedToPair(.maxSumExp, .f32, SourceLocation(file, line))
    return (Tile<Float>(a.program, maximum), Tile<Float>(a.program, sum))
}

extension Tile {
    fileprivate func reduced(
        _ reduction: Reduction, _ elements: [ElementKind], _ location: SourceLocation
    ) -> Tile {
        requireTile(location)
        return Tile(program, program.emit(.reduce(reduction), [id], .scalar(elements[0]), at: location))
    }

    fileprivate func reducedToPair(
        _ reduction: Reduction, _ second: ElementKind, _ location: SourceLocation
    ) -> (ValueID, ValueID) {
        requireTile(location)
        let results = program.emit(
            .reduce(reduction), [id], [.scalar(.f32), .scalar(second)], at: location)
        return (results[0], results[1])
    }

    private func requireTile(_ location: SourceLocation) {
        if !program.function.type(id).isTile {
            program.report(
                location, "a reduction needs a tile; found \(program.describe(id))",
                "Index the view with a range")
        }
    }
}
