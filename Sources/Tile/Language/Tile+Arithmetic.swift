extension Tile where Element: TileNumber {
    /// Sum, lane by lane; integers wrap.
    public static func + (a: Tile, b: Tile) -> Tile { binary(.add, a, b) }
    /// Difference, lane by lane; integers wrap.
    public static func - (a: Tile, b: Tile) -> Tile { binary(.subtract, a, b) }
    /// Product, lane by lane; integers wrap.
    public static func * (a: Tile, b: Tile) -> Tile { binary(.multiply, a, b) }
    /// Sum with a constant.
    public static func + (a: Tile, b: Element) -> Tile { a + a.like(b) }
    /// Sum with a constant.
    public static func + (a: Element, b: Tile) -> Tile { b.like(a) + b }
    /// Difference from a constant.
    public static func - (a: Tile, b: Element) -> Tile { a - a.like(b) }
    /// Difference from a constant.
    public static func - (a: Element, b: Tile) -> Tile { b.like(a) - b }
    /// Product with a constant.
    public static func * (a: Tile, b: Element) -> Tile { a * a.like(b) }
    /// Product with a constant.
    public static func * (a: Element, b: Tile) -> Tile { b.like(a) * b }

    /// A scalar of a constant, for this tile.
    func like(_ value: Element) -> Tile { Tile(program, program.constant(value.tileConstant.value)) }

    static func binary(_ operation: BinaryOperation, _ a: Tile, _ b: Tile) -> Tile {
        let location = a.program.location(of: a.id, b.id)
        let extent = a.program.commonExtent(operation.rawValue, [a.id, b.id], at: location)
        let type = ValueType(element: Element.kind, extent: extent)
        return Tile(a.program, a.program.emit(.binary(operation), [a.id, b.id], type, at: location))
    }

    func unary(_ operation: UnaryOperation) -> Tile {
        let type = program.function.type(id)
        return Tile(program, program.emit(.unary(operation), [id], type, at: program.location(of: id)))
    }
}

extension Tile where Element == Float {
    /// Quotient, correctly rounded.
    public static func / (a: Tile, b: Tile) -> Tile { binary(.divide, a, b) }
    /// Quotient by a constant.
    public static func / (a: Tile, b: Float) -> Tile { a / a.like(b) }
    /// Quotient of a constant.
    public static func / (a: Float, b: Tile) -> Tile { b.like(a) / b }
    /// Sign flipped.
    public static prefix func - (a: Tile) -> Tile { a.unary(.negate) }

    /// Rounded to a 16-bit storage type and widened again: what storing and loading would give.
    public func rounded(to dtype: DType) -> Tile {
        guard dtype == .bf16 || dtype == .f16 else { return self }
        return Tile(
            program,
            program.emit(.round(dtype), [id], program.function.type(id), at: program.location(of: id)))
    }
}

extension Tile where Element == Int {
    /// Quotient, rounded toward zero; the divisor is positive.
    public static func / (a: Tile, b: Tile) -> Tile { binary(.divide, a, b) }
    /// Quotient by a constant, rounded toward zero; the divisor is positive.
    public static func / (a: Tile, b: Int) -> Tile { a / a.like(b) }
    /// Remainder of `/`.
    public static func % (a: Tile, b: Tile) -> Tile { binary(.remainder, a, b) }
    /// Remainder of `/`.
    public static func % (a: Tile, b: Int) -> Tile { a % a.like(b) }
}

extension Tile where Element == UInt32 {
    /// Bits set in both.
    public static func & (a: Tile, b: Tile) -> Tile { binary(.and, a, b) }
    /// Bits set in both.
    public static func & (a: Tile, b: UInt32) -> Tile { a & a.like(b) }
    /// Bits set in either.
    public static func | (a: Tile, b: Tile) -> Tile { binary(.or, a, b) }
    /// Bits set in either.
    public static func | (a: Tile, b: UInt32) -> Tile { a | a.like(b) }
    /// Bits set in one of both.
    public static func ^ (a: Tile, b: Tile) -> Tile { binary(.xor, a, b) }
    /// Bits set in one of both.
    public static func ^ (a: Tile, b: UInt32) -> Tile { a ^ a.like(b) }
    /// Shifted left by 0 to 31 bits.
    public static func << (a: Tile, b: UInt32) -> Tile { binary(.shiftLeft, a, a.like(b)) }
    /// Shifted right by 0 to 31 bits.
    public static func >> (a: Tile, b: UInt32) -> Tile { binary(.shiftRight, a, a.like(b)) }
    /// Every bit flipped.
    public static prefix func ~ (a: Tile) -> Tile { a.unary(.not) }
    /// Upper half of the 64-bit product.
    public func multipliedHigh(by b: Tile) -> Tile { Self.binary(.multiplyHigh, self, b) }
}

extension Tile where Element == Bool {
    /// Both.
    public static func & (a: Tile, b: Tile) -> Tile { logic(.and, a, b) }
    /// Either.
    public static func | (a: Tile, b: Tile) -> Tile { logic(.or, a, b) }
    /// Not.
    public static prefix func ! (a: Tile) -> Tile {
        let program = a.program
        return Tile(
            program,
            program.emit(.unary(.not), [a.id], program.function.type(a.id), at: program.location(of: a.id)))
    }

    private static func logic(_ operation: BinaryOperation, _ a: Tile, _ b: Tile) -> Tile {
        let location = a.program.location(of: a.id, b.id)
        let extent = a.program.commonExtent(operation.rawValue, [a.id, b.id], at: location)
        return Tile(
            a.program,
            a.program.emit(
                .binary(operation), [a.id, b.id], ValueType(element: .mask, extent: extent), at: location))
    }
}
