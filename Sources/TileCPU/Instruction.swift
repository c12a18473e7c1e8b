import CVector

/// Where an instruction's operand lies.
struct Operand {
    enum Place: UInt8 { case frame, memory }
    var place: Place
    /// Bytes into the frame; for memory, where the frame holds the address of lane 0 of each program.
    var offset: Int32
    /// Bytes from one lane to the next as a block advances; 0 for a buffer of one block.
    var step: Int32

    static let none = Operand(place: .frame, offset: 0, step: 0)
    static func frame(_ offset: Int, step: Int = 0) -> Operand {
        Operand(place: .frame, offset: Int32(offset), step: Int32(step))
    }
    static func memory(_ offset: Int) -> Operand {
        Operand(place: .memory, offset: Int32(offset), step: 4)
    }
}

/// What the interpreter does in one step. A "lane count" is that of the block at hand times the programs
/// of the batch, or, for scalar work, the programs of the batch.
enum OperationCode: UInt8 {
    // Lanes, through CVector. `selector` is CVector's operation number.
    case unary, binary, ternary
    case splat, iota
    case load, store, gather
    /// A store past the cache, to lanes side by side.
    case stream
    /// A block's lanes of a row of a product of matrices; `number` is the contraction's.
    case product
    case reduceBegin, reduce, sumProduct, reduceEnd

    // Positions, one per program.
    case index
    case compareIndex
    case convertIndex
    case copyIndex
    case programIndex, columnBlock
    case address
    case loadScalar, storeScalar
    case check

    // Control.
    case blockBegin, blockEnd
    case loopBegin, loopEnd
    case branchIfNot, jump
}

/// One step of a plan. Trivial, so that a plan is one flat array.
struct Instruction {
    var code: OperationCode
    /// CVector's operation, a storage type, or an enumeration's raw value, as the code says.
    var selector: Int32 = 0
    /// For binary: CVector's operand shape. For conversions: the other side.
    var variant: Int32 = 0
    /// Whether the lanes are the batch's programs.
    var isScalar = false
    var d = Operand.none
    var a = Operand.none
    var b = Operand.none
    var c = Operand.none
    /// An access number, a jump target or a count, as the code says.
    var number = 0
    /// CVector's function, found when the plan is made.
    var function: UnsafeRawPointer?
}

/// How a load or store finds its memory.
struct Access: Sendable {
    let view: Int
    let rank: Int
    let elementBytes: Int
    /// The frame's offsets of the index of each dimension.
    let indices: SIMD4<Int>
    /// The dimension that lanes run along; -1 for a scalar.
    let axis: Int
    let lanes: LaneCount
    /// Whether the axis' own index is a tile of positions, checked lane by lane.
    let gathers: Bool
    /// Where the frame holds the addresses, one per program.
    let address: Int
}

/// How a product finds its lines.
struct ContractionAccess: Sendable {
    struct Matrix: Sendable {
        let view: Int
        let contracted: Int
        let elementBytes: Int
        /// The frame's offset of the first line's position.
        let position: Int
        /// CVector's function that widens a line.
        nonisolated(unsafe) let load: UnsafeRawPointer?
    }

    /// The frame's offsets of where parts of lines begin, and of how many elements they have.
    struct Part: Sendable {
        let startOfA: Int
        let startOfB: Int
        let count: Int
    }

    /// Elements of a line that are widened and multiplied at a time.
    static let piece = 512

    let a: Matrix
    let b: Matrix
    /// Nil where whole lines are multiplied.
    let part: Part?
    /// The frame's offsets of a piece of either line, and of a sum for each lane of a block.
    let pieceOfA: Int
    let pieceOfB: Int
    let sums: Int
}

/// How many lanes: a constant, or where the frame holds the count.
enum LaneCount: Sendable {
    case constant(Int)
    case frame(Int)
}
