extension Tile where Element: TileNumber {
    /// Whether equal, lane by lane; a NaN equals nothing.
    public static func == (a: Tile, b: Tile) -> Tile<Bool> { compare(.equal, a, b) }
    /// Whether different, lane by lane.
    public static func != (a: Tile, b: Tile) -> Tile<Bool> { compare(.notEqual, a, b) }
    /// Whether less, lane by lane.
    public static func < (a: Tile, b: Tile) -> Tile<Bool> { compare(.less, a, b) }
    /// Whether less or equal, lane by lane.
    public static func <= (a: Tile, b: Tile) -> Tile<Bool> { compare(.lessOrEqual, a, b) }
    /// Whether greater, lane by lane.
    public static func > (a: Tile, b: Tile) -> Tile<Bool> { compare(.greater, a, b) }
    /// Whether greater or equal, lane by lane.
    public static func >= (a: Tile, b: Tile) -> Tile<Bool> { compare(.greaterOrEqual, a, b) }
    /// Whether equal to a constant.
    public static func == (a: Tile, b: Element) -> Tile<Bool> { a == a.like(b) }
    /// Whether different from a constant.
    public static func != (a: Tile, b: Element) -> Tile<Bool> { a != a.like(b) }
    /// Whether less than a constant.
    public static func < (a: Tile, b: Element) -> Tile<Bool> { a < a.like(b) }
    /// Whether less than or equal to a constant.
    public static func <= (a: Tile, b: Element) -> Tile<Bool> { a <= a.like(b) }
    /// Whether greater than a constant.
    public static func > (a: Tile, b: Element) -> Tile<Bool> { a > a.like(b) }
    /// Whether greater than or equal to a constant.
    public static func >= (a: Tile, b: Element) -> Tile<Bool> { a >= a.like(b) }

    private static func compare(_ comparison: Comparison, _ a: Tile, _ b: Tile) -> Tile<Bool> {
        let location = a.program.location(of: a.id, b.id)
        let extent = a.program.commonExtent(comparison.rawValue, [a.id, b.id], at: location)
        return Tile<Bool>(
            a.program,
            a.program.emit(
                .compare(comparison), [a.id, b.id], ValueType(element: .mask, extent: extent), at: location))
    }
}

/// `yes` where the mask is set, else `no`, lane by lane.
public func select<E: TileNumber>(_ mask: Tile<Bool>, _ yes: Tile<E>, _ no: Tile<E>) -> Tile<E> {
    let program = mask.program
    let location = program.location(of: mask.id, yes.id, no.id)
    let extent = program.commonExtent("select", [mask.id, yes.id, no.id], at: location)
    let type = ValueType(element: E.kind, extent: extent)
    return Tile(program, program.emit(.select, [mask.id, yes.id, no.id], type, at: location))
}

/// `yes` where the mask is set, else a constant.
public func select<E: TileNumber>(_ mask: Tile<Bool>, _ yes: Tile<E>, _ no: E) -> Tile<E> {
    select(mask, yes, yes.like(no))
}

/// A constant where the mask is set, else `no`.
public func select<E: TileNumber>(_ mask: Tile<Bool>, _ yes: E, _ no: Tile<E>) -> Tile<E> {
    select(mask, no.like(yes), no)
}
