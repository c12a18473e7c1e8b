/// Finds all tokens that a text begins with: a trie over bytes whose edges lie in one flat hash table.
struct TokenTrie: Sendable {
    private var keys: [UInt32]
    private var children: [Int32]
    private let mask: Int
    /// The token that ends at each node; -1 where none does.
    private(set) var tokenOfNode: [Int32] = [-1]

    /// Where a walk begins.
    static let root: Int32 = 0
    /// Not a node.
    static let none: Int32 = -1
    /// Nodes are numbered in 24 bits of a key.
    private static let nodeLimit = 1 << 24
    private static let emptyKey = UInt32.max

    /// Nil when the tokens have more than 16 million different beginnings. Cost: linear in their bytes.
    init?(_ tokens: ByteStrings) {
        let bytes = (0..<tokens.count).reduce(0) { $0 + tokens[$1].count }
        var capacity = 16
        while capacity < min(bytes, Self.nodeLimit) * 2 { capacity *= 2 }
        keys = Array(repeating: Self.emptyKey, count: capacity)
        children = Array(repeating: Self.none, count: capacity)
        mask = capacity - 1
        for token in 0..<tokens.count {
            var node = Self.root
            for byte in tokens[token] {
                guard tokenOfNode.count < Self.nodeLimit - 1 else { return nil }
                node = makeChild(of: node, byte)
            }
            if node != Self.root { tokenOfNode[Int(node)] = Int32(token) }
        }
    }

    private mutating func makeChild(of node: Int32, _ byte: UInt8) -> Int32 {
        let key = Self.key(node, byte)
        var slot = Self.hash(key) & mask
        while keys[slot] != Self.emptyKey {
            if keys[slot] == key { return children[slot] }
            slot = (slot + 1) & mask
        }
        keys[slot] = key
        children[slot] = Int32(tokenOfNode.count)
        tokenOfNode.append(-1)
        return children[slot]
    }

    /// The node one byte further, or `none`. Cost: constant.
    @inline(__always)
    func child(of node: Int32, _ byte: UInt8) -> Int32 {
        let key = Self.key(node, byte)
        var slot = Self.hash(key) & mask
        while keys[slot] != key {
            if keys[slot] == Self.emptyKey { return Self.none }
            slot = (slot + 1) & mask
        }
        return children[slot]
    }

    @inline(__always)
    private static func key(_ node: Int32, _ byte: UInt8) -> UInt32 {
        UInt32(bitPattern: node) << 8 | UInt32(byte)
    }

    @inline(__always)
    private static func hash(_ key: UInt32) -> Int {
        let product = UInt64(key) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: product >> 32)
    }
}
