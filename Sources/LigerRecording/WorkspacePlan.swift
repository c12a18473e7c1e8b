/// Where the pieces that an operation takes and gives up lie in its workspace: each at the lowest place that is
/// free for as long as it lives.
struct WorkspacePlan {
    private(set) var offsets: [Int: Int] = [:]
    private(set) var byteCount = 0

    init(_ recorded: Recording.State, except others: Set<Int>, alignment: Int) {
        var live: [(piece: Int, range: Range<Int>)] = []
        for event in recorded.events {
            switch event {
            case .givenUp(let piece): live.removeAll { $0.piece == piece }
            case .taken(let piece):
                if others.contains(piece) { continue }
                let size = (max(recorded.pieces[piece].byteCount, 1) + alignment - 1) / alignment * alignment
                var start = 0
                var position = 0
                for (i, other) in live.enumerated() {
                    if other.range.lowerBound >= start + size { break }
                    start = max(start, other.range.upperBound)
                    position = i + 1
                }
                live.insert((piece, start..<(start + size)), at: position)
                offsets[piece] = start
                byteCount = max(byteCount, start + size)
            }
        }
    }
}
