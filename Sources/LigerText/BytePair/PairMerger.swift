/// Merges the symbols of one word, always the pair of least rank first, the leftmost of equals.
///
/// Holds scratch memory, so that a word costs no allocation. Short words scan for the least rank, which beats every
/// data structure; long ones keep a heap over a linked list, so that a word of n bytes costs n log n.
struct PairMerger: WordEngine {
    private let merges: MergeTable
    private let tokenOfByte: [Int32]
    private let rankOfBytes: [UInt32]
    private let characters: CharacterSymbols?
    private var tokens: [Int32] = []
    private var ranks: [UInt32] = []
    private var previous: [Int] = []
    private var next: [Int] = []
    private var heap = MergeHeap()

    private static let longestScannedWord = 64

    init(_ model: BytePairModel) {
        merges = model.merges
        tokenOfByte = model.tokenOfByte
        rankOfBytes = model.rankOfBytes
        characters = model.characters
    }

    /// Appends the tokens of `word` to `output`.
    mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) {
        tokens.removeAll(keepingCapacity: true)
        ranks.removeAll(keepingCapacity: true)
        if let characters {
            characters.append(word, to: &tokens)
        } else {
            for byte in word { tokens.append(tokenOfByte[Int(byte)]) }
        }
        guard tokens.count > 1 else {
            output += tokens
            return
        }
        for index in 1..<tokens.count {
            ranks.append(
                rankOfBytes.isEmpty
                    ? merges.rank(tokens[index - 1], tokens[index])
                    : rankOfBytes[Int(word[index - 1]) << 8 | Int(word[index])])
        }
        ranks.append(MergeTable.never)
        if tokens.count <= Self.longestScannedWord {
            mergeByScanning(&output)
        } else {
            mergeByHeap(&output)
        }
    }

    /// `ranks[i]` is the rank of the pair that starts at token i; the last is `never`.
    private mutating func mergeByScanning(_ output: inout [Int32]) {
        var count = tokens.count
        let merges = merges
        tokens.withUnsafeMutableBufferPointer { tokens in
            ranks.withUnsafeMutableBufferPointer { ranks in
                while true {
                    var best = 0
                    for index in 1..<count where ranks[index] < ranks[best] { best = index }
                    let rank = ranks[best]
                    guard rank != MergeTable.never else { break }
                    tokens[best] = merges.results[Int(rank)]
                    count -= 1
                    for index in best + 1..<max(count, best + 1) {
                        tokens[index] = tokens[index + 1]
                        ranks[index] = ranks[index + 1]
                    }
                    ranks[best] =
                        best + 1 < count ? merges.rank(tokens[best], tokens[best + 1]) : MergeTable.never
                    if best > 0 { ranks[best - 1] = merges.rank(tokens[best - 1], tokens[best]) }
                    if count == 1 { break }
                }
            }
        }
        output.append(contentsOf: tokens[..<count])
    }

    /// The heap holds a pair's rank and position; an entry is stale when the position's rank has changed since.
    private mutating func mergeByHeap(_ output: inout [Int32]) {
        let count = tokens.count
        previous = Array(-1..<count - 1)
        next = Array(1...count)
        heap.removeAll()
        for index in 0..<count where ranks[index] != MergeTable.never {
            heap.insert(MergeHeap.Entry(rank: ranks[index], position: index))
        }
        while let entry = heap.popLeast() {
            let position = entry.position
            guard ranks[position] == entry.rank else { continue }
            let absorbed = next[position]
            tokens[position] = merges.results[Int(entry.rank)]
            next[position] = next[absorbed]
            ranks[absorbed] = MergeTable.never
            if next[position] < count { previous[next[position]] = position }
            updateRank(at: position, count: count)
            if previous[position] >= 0 { updateRank(at: previous[position], count: count) }
        }
        var position = 0
        while position < count {
            output.append(tokens[position])
            position = next[position]
        }
    }

    private mutating func updateRank(at position: Int, count: Int) {
        let following = next[position]
        let rank = following < count ? merges.rank(tokens[position], tokens[following]) : MergeTable.never
        ranks[position] = rank
        if rank != MergeTable.never { heap.insert(MergeHeap.Entry(rank: rank, position: position)) }
    }
}
