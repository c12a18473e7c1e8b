/// A value inside a kernel: one number per program (a scalar) or one per lane (a tile). Scalars meet
/// tiles in any operation and serve every lane.
public struct Tile<Element: TileElement> {
    package let program: Program
    package let id: ValueID

    package init(_ program: Program, _ id: ValueID) {
        self.program = program
        self.id = id
    }
}

/// What a lane can hold: `Float`, `Int32`, `UInt32` (wrapping), `Int` (positions; scalars only) and
/// `Bool` (outcomes of comparisons).
public protocol TileElement: Sendable {
    /// The matching kind in the IR.
    static var kind: ElementKind { get }
}

/// A lane that can be computed with, and written as a literal in a kernel.
public protocol TileNumber: TileElement {
    /// The IR's constant of this value, as an opaque token for the compiler.
    var tileConstant: TileConstant { get }
}

/// A number on its way into a kernel.
public struct TileConstant: Sendable {
    package let value: Constant
}

extension Float: TileNumber {
    public static var kind: ElementKind { .f32 }
    public var tileConstant: TileConstant { TileConstant(value: .float(self)) }
}

extension Int32: TileNumber {
    public static var kind: ElementKind { .i32 }
    public var tileConstant: TileConstant { TileConstant(value: .i32(self)) }
}

extension UInt32: TileNumber {
    public static var kind: ElementKind { .u32 }
    public var tileConstant: TileConstant { TileConstant(value: .u32(self)) }
}

extension Int: TileNumber {
    public static var kind: ElementKind { .index }
    public var tileConstant: TileConstant { TileConstant(value: .index(self)) }
}

extension Bool: TileElement {
    public static var kind: ElementKind { .mask }
}

/// A tile of any element: what loops and conditionals carry.
public protocol AnyTile {
    /// Names the value in the IR, as an opaque token for the compiler.
    var token: TileToken { get }
    /// The tile of this type that a token names.
    init(token: TileToken)
}

/// A traced value, whatever its element.
public struct TileToken {
    package let program: Program
    package let id: ValueID
}

extension Tile: AnyTile {
    public var token: TileToken { TileToken(program: program, id: id) }
    public init(token: TileToken) { self.init(token.program, token.id) }
}
