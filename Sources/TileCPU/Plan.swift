import CVector
package import Tile

/// A kernel compiled for the CPU: a flat list of vector instructions over a frame of scratch memory.
package struct Plan: Sendable {
    let name: String
    let views: [ViewParameter]
    let scalars: [ScalarParameter]
    let messages: [String]
    let instructions: [Instruction]
    let presets: [Preset]
    let accesses: [Access]
    let contractions: [ContractionAccess]
    let columnBlocks: ColumnBlocks?
    let condition: Int?
    let limit: Int?
    /// Programs run together, so that short rows still fill vectors.
    let batch: Int
    /// Lanes of a block.
    let block: Int
    /// Bytes of scratch memory a thread needs.
    package let frameBytes: Int

    /// Compiles for launches whose views lie in memory as said, one layout per view.
    package init(_ function: TileFunction, layouts: [ViewLayout]) {
        var builder = PlanBuilder(function, layouts: layouts)
        builder.build()
        name = function.name
        views = function.views
        scalars = function.scalars
        messages = function.messages
        instructions = builder.instructions
        presets = builder.presets
        accesses = builder.accesses
        contractions = builder.contractions
        columnBlocks = function.columnBlocks
        condition = function.condition
        limit = function.limit
        batch = builder.batch
        block = builder.block
        frameBytes = builder.frameBytes
    }
}

/// What a plan may rely on of a view's memory.
package struct ViewLayout: Sendable, Hashable {
    /// Whether lanes along the last dimension lie side by side.
    package let hasUnitStride: Bool
    /// Whether no cache holds what is written until it is read.
    package let outgrowsCache: Bool

    package init(hasUnitStride: Bool, outgrowsCache: Bool) {
        self.hasUnitStride = hasUnitStride
        self.outgrowsCache = outgrowsCache
    }
}

/// A scalar that no program changes, written into every lane of a frame once.
struct Preset: Sendable {
    enum Source: Sendable {
        case constant(Constant)
        case argument(Int)
        case size(view: Int, dimension: Int)
    }
    let offset: Int
    let source: Source
}

// Numbers and pointers to C functions, which never change.
extension Instruction: @unchecked Sendable {}

/// How many programs a plan runs together, and how many lanes a block has.
struct Blocking {
    let batch: Int
    let block: Int

    /// Lanes whose buffers stay in a second-level cache side by side. Shorter blocks would fit the
    /// first level, but break up the sequences that the processor fetches ahead: at 2,048 the backward pass
    /// of RMSNorm took a quarter less time than at 512.
    static let lanes = 2048

    /// Up to this length rows share instructions.
    static let shortRow = 512

    init(_ function: TileFunction) {
        let longest = function.extents.map(\.capacity).max() ?? 1
        if longest <= Self.shortRow && Self.isUniform(function) {
            batch = max(1, min(64, 2 * Self.shortRow / longest))
            block = longest
        } else {
            batch = 1
            block = min(longest, Self.lanes)
        }
    }

    /// Whether control flow and lengths are the same in every program of a launch.
    private static func isUniform(_ function: TileFunction) -> Bool {
        var varying: Set<ValueID> = []
        var uniform = true
        func visit(_ region: Region) {
            for operation in region.operations {
                let operandsVary = operation.operands.contains(where: varying.contains)
                switch operation.kind {
                case .conditional, .product:
                    uniform = false
                case .loop:
                    if operation.operands.prefix(3).contains(where: varying.contains) { uniform = false }
                    varying.formUnion(operation.regions[0].arguments.dropFirst())
                    varying.formUnion(operation.results)
                    visit(operation.regions[0])
                case .programIndex, .columnBlock, .load, .gather, .reduce:
                    varying.formUnion(operation.results)
                default:
                    if operandsVary { varying.formUnion(operation.results) }
                }
            }
        }
        visit(function.body)
        return uniform && !function.extents.contains { $0.count.map(varying.contains) ?? false }
    }
}
