internal import LigerModels

/// Ranks write files together.
extension Ranks: FileTeam {
    /// Fewer elements take less time than their message would; rank 0 writes them.
    private static let leastDealt = 1 << 14

    package func told(path: () -> String) throws -> String { try told(path) }

    package func share(of elements: Range<Int>) -> Range<Int> {
        let first = elements.lowerBound, size = elements.count
        guard size >= Self.leastDealt else { return isFirst ? elements : first..<first }
        return first + size * rank / count..<first + size * (rank + 1) / count
    }
}
