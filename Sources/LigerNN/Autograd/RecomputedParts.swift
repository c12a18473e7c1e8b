/// Parts of a decoder block whose results the backward pass computes again instead of keeping them.
///
/// Each part names results, not layers: to leave out a part is to keep its results. What is computed again is computed
/// once for all that need it, from the nearest results that are kept, by the same kernels: losses and gradients keep
/// their bits.
public struct RecomputedParts: OptionSet, Sendable, Hashable {
    /// A bit for each part.
    public let rawValue: UInt8

    /// Parts by their bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Outputs of norms and activations, one pass over memory each, with the rotations and sums that follow them.
    public static let elementwise = RecomputedParts(rawValue: 1)
    /// Products that a feed-forward layer's activation takes: its gate and up.
    public static let inner = RecomputedParts(rawValue: 2)
    /// Products that make queries, keys and values.
    public static let heads = RecomputedParts(rawValue: 4)
    /// Attention's result.
    public static let attention = RecomputedParts(rawValue: 8)
    /// The product that follows attention.
    public static let output = RecomputedParts(rawValue: 16)
    /// The product that ends a feed-forward layer. Blocks that end with it keep it in any case: it is the next one's
    /// input.
    public static let down = RecomputedParts(rawValue: 32)
    /// Everything but the block's input, by running the block again, its last product too.
    public static let block = RecomputedParts(rawValue: 64)

    /// Each part alone, with its name, the cheapest first.
    package static let named: [(part: RecomputedParts, name: String)] = [
        (.elementwise, "elementwise"), (.inner, "inner"), (.heads, "heads"), (.attention, "attention"),
        (.output, "output"), (.down, "down"), (.block, "block"),
    ]

    /// The parts that are matrix products or attention.
    package static let products: [RecomputedParts] = [.inner, .heads, .attention, .output, .down]
}

extension RecomputedParts: CustomStringConvertible {
    /// The names of the parts, or `nothing`.
    public var description: String {
        let names = Self.named.filter { contains($0.part) }.map(\.name)
        return names.isEmpty ? "nothing" : names.joined(separator: ", ")
    }
}

extension RecomputedParts: Codable {
    /// Reads the names of parts.
    public init(from decoder: any Swift.Decoder) throws {
        let container = try decoder.singleValueContainer()
        self = []
        for name in try container.decode([String].self) {
            guard let known = Self.named.first(where: { $0.name == name }) else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "no part of a block is named \(name)")
            }
            insert(known.part)
        }
    }

    /// Writes the names of the parts.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Self.named.filter { contains($0.part) }.map(\.name))
    }
}

/// What is computed again in each block of a decoder.
public struct RecomputationPlan: Sendable, Hashable, Codable {
    /// Of each block in order; those beyond are like `others`.
    public let blocks: [RecomputedParts]
    private let others: RecomputedParts

    /// A plan block by block.
    public init(_ blocks: [RecomputedParts]) { self.init(blocks, others: []) }

    /// The same in every block.
    public init(_ recomputation: Recomputation) { self.init([], others: recomputation.parts) }

    private init(_ blocks: [RecomputedParts], others: RecomputedParts) {
        self.blocks = blocks
        self.others = others
    }

    /// Of a block.
    public subscript(block: Int) -> RecomputedParts {
        blocks.indices.contains(block) ? blocks[block] : others
    }

    /// Outside of blocks, as in the last norm: what costs little, where blocks do so too.
    var outside: RecomputedParts {
        (blocks + [others]).contains { $0.contains(.elementwise) } ? .elementwise : []
    }
}

/// Notes the work of a forward pass that may be recomputed.
package final class RecomputableWork {
    /// Operations of products and attention, part by part, of all blocks.
    package private(set) var operations: [RecomputedParts: Double] = [:]
    /// The same, block by block.
    package private(set) var blocks: [Int: [RecomputedParts: Double]] = [:]

    /// No work yet.
    package init() {}

    func note(_ part: RecomputedParts, block: Int, _ operations: Double) {
        self.operations[part, default: 0] += operations
        blocks[block, default: [:]][part, default: 0] += operations
    }
}
