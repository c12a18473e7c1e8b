/// What a matcher has tried in a piece of text, in vain: which instruction at which place.
struct RegexFailures {
    private let piece: Range<Int>
    private let places: Int
    private var tried: [UInt64]
    /// Per instruction that is a run: the ends that its last runs had, which touch each other. Of a possessive run, which
    /// has but one end, where it went from there to there.
    private var ends: [ClosedRange<Int>?]

    init(places: Int, piece: Range<Int>) {
        self.piece = piece
        self.places = places
        tried = Array(repeating: 0, count: places * (piece.count + 1) / 64 + 1)
        ends = Array(repeating: nil, count: places)
    }

    /// Whether an instruction was not tried at a position yet; from now on it was.
    mutating func isNew(_ place: Int, _ position: Int) -> Bool {
        let number = (position - piece.lowerBound) * places + place
        let (word, bit) = number.quotientAndRemainder(dividingBy: 64)
        guard tried[word] & 1 << UInt64(bit) == 0 else { return false }
        tried[word] |= 1 << UInt64(bit)
        return true
    }

    /// The ends that runs of an instruction had, as far as a run from `position` could reach them.
    func ends(of place: Int, from position: Int) -> ClosedRange<Int>? {
        guard let known = ends[place], position < known.upperBound else { return nil }
        return known
    }

    /// A run of the instruction had these ends. What it left out, as it was known, goes on from there.
    mutating func note(_ new: ClosedRange<Int>, endsOf place: Int) {
        guard let known = ends[place], known.upperBound >= new.upperBound else {
            ends[place] = new
            return
        }
        if known.lowerBound <= new.lowerBound { return }
        // One character at most lies between them.
        ends[place] = known.lowerBound - new.upperBound <= 4 ? new.lowerBound...known.upperBound : new
    }
}
