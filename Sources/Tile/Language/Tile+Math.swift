// Functions of `Float` tiles, lane by lane, in 32-bit arithmetic.

/// Larger of both; NaN if either is.
public func maximum<E: TileNumber>(_ a: Tile<E>, _ b: Tile<E>) -> Tile<E> { .binary(.maximum, a, b) }
/// Larger of a tile and a constant; NaN stays NaN.
public func maximum<E: TileNumber>(_ a: Tile<E>, _ b: E) -> Tile<E> { maximum(a, a.like(b)) }
/// Smaller of both; NaN if either is.
public func minimum<E: TileNumber>(_ a: Tile<E>, _ b: Tile<E>) -> Tile<E> { .binary(.minimum, a, b) }
/// Smaller of a tile and a constant; NaN stays NaN.
public func minimum<E: TileNumber>(_ a: Tile<E>, _ b: E) -> Tile<E> { minimum(a, a.like(b)) }

/// Magnitude.
public func abs(_ a: Tile<Float>) -> Tile<Float> { a.unary(.abs) }
/// Square root, correctly rounded.
public func sqrt(_ a: Tile<Float>) -> Tile<Float> { a.unary(.sqrt) }
/// 1 / sqrt(a).
public func rsqrt(_ a: Tile<Float>) -> Tile<Float> { a.unary(.rsqrt) }
/// 1 / a within 2 units in the last place, less work than a division. A GPU takes what lies below the normal numbers,
/// 2^-126, for 0, before and after.
public func reciprocal(_ a: Tile<Float>) -> Tile<Float> { a.unary(.reciprocal) }
/// Largest integer not above.
public func floor(_ a: Tile<Float>) -> Tile<Float> { a.unary(.floor) }
/// e to the a, within 2 units in the last place; a GPU may have 0 below 2^-126.
public func exp(_ a: Tile<Float>) -> Tile<Float> { a.unary(.exp) }
/// e to the a for a <= 0, within 2 + |a| units in the last place: less work than `exp`. What a softmax weighs
/// its lanes with: there an error of |a| exp(a) units, with a largest weight of 1 is below rounding. Up to 88 the bound is
/// the same.
public func decay(_ a: Tile<Float>) -> Tile<Float> { a.unary(.decay) }
/// Natural logarithm, within 2 units in the last place.
public func log(_ a: Tile<Float>) -> Tile<Float> { a.unary(.log) }
/// Hyperbolic tangent.
public func tanh(_ a: Tile<Float>) -> Tile<Float> { a.unary(.tanh) }
/// Error function.
public func erf(_ a: Tile<Float>) -> Tile<Float> { a.unary(.erf) }
/// 1 / (1 + exp(-a)).
public func sigmoid(_ a: Tile<Float>) -> Tile<Float> { a.unary(.sigmoid) }
/// Sine, for |a| up to 65,536.
public func sin(_ a: Tile<Float>) -> Tile<Float> { a.unary(.sin) }
/// Cosine, for |a| up to 65,536.
public func cos(_ a: Tile<Float>) -> Tile<Float> { a.unary(.cos) }

// MARK: - Conversions

extension Tile where Element: TileNumber {
    /// As floats, rounded to nearest.
    public var float: Tile<Float> { converted(to: Float.self) }
    /// As 32-bit integers: floats toward zero, saturating; positions cut to 32 bits.
    public var int32: Tile<Int32> { converted(to: Int32.self) }
    /// As unsigned 32-bit integers: the same bits as `int32`.
    public var uint32: Tile<UInt32> { converted(to: UInt32.self) }
    /// As a position; scalars only.
    public var index: Tile<Int> { converted(to: Int.self) }

    func converted<T: TileNumber>(to target: T.Type) -> Tile<T> {
        if T.kind == Element.kind { return Tile<T>(program, id) }
        var type = program.function.type(id)
        type.element = T.kind
        return Tile<T>(program, program.emit(.convert(T.kind), [id], type, at: program.location(of: id)))
    }
}

extension Tile where Element == Float {
    /// The 32 bits that stand for each float.
    public var bits: Tile<UInt32> { reinterpreted(as: UInt32.self) }
}

/// The floats that 32 bits stand for: the inverse of `bits`.
public func float(bits: Tile<UInt32>) -> Tile<Float> { bits.reinterpreted(as: Float.self) }

extension Tile where Element: TileNumber {
    fileprivate func reinterpreted<T: TileNumber>(as target: T.Type) -> Tile<T> {
        var type = program.function.type(id)
        type.element = T.kind
        return Tile<T>(
            program, program.emit(.reinterpret(T.kind), [id], type, at: program.location(of: id)))
    }
}

extension Tile where Element == Bool {
    /// 1 where set, else 0.
    public var float: Tile<Float> {
        var type = program.function.type(id)
        type.element = .f32
        return Tile<Float>(program, program.emit(.convert(.f32), [id], type, at: program.location(of: id)))
    }

    /// 1 where set, else 0.
    public var int32: Tile<Int32> {
        var type = program.function.type(id)
        type.element = .i32
        return Tile<Int32>(program, program.emit(.convert(.i32), [id], type, at: program.location(of: id)))
    }
}
