package import LigerNN
package import LigerRuntime
package import Platform
package import Tile

/// What a process has of an array that is written: all of it, as every process of a team, or a part that no other has.
package struct HeldArray {
    /// Contiguous.
    private let array: NDArray
    /// The elements that no other process has, by their places in the whole; nil for all of an array.
    private let part: Range<Int>?

    /// - Parameter part: the elements of the whole that `array` is; nil where every process has all.
    package init(_ array: NDArray, part: Range<Int>? = nil) {
        precondition(part == nil || part?.count == array.count, "a part's elements")
        (self.array, self.part) = (array.flattened, part)
    }

    /// What is here of a parameter.
    package init(_ parameter: Parameter) {
        if let part = parameter.part {
            self.init(part.array, part: part.range)
        } else {
            self.init(parameter.value)
        }
    }

    fileprivate var dtype: DType { array.dtype }

    /// Of the whole's elements `wanted`, those that this process writes.
    fileprivate func written(of wanted: Range<Int>, by team: any FileTeam) -> Range<Int> {
        part?.clamped(to: wanted) ?? team.share(of: wanted)
    }

    /// Elements of the whole, which are here.
    fileprivate func elements(_ range: Range<Int>) -> NDArray {
        let first = range.lowerBound - (part?.lowerBound ?? 0)
        return array.sliced(0, first..<first + range.count)
    }
}

extension TensorContent {
    /// What a process writes of an array: the elements that it alone has, or its share of what all have.
    ///
    /// - Parameters:
    ///   - elements: of the whole array, those that are the tensor of this name; nil for all.
    ///   - dtype: what they are stored as, each rounded once; their own type by default.
    ///   - url: stands for the output in messages.
    package init(
        _ name: String, _ held: HeldArray, elements: Range<Int>? = nil, shape: [Int],
        storedAs dtype: DType? = nil, in url: URL, with team: any FileTeam = LoneWriter()
    ) {
        let elements = elements ?? 0..<shape.reduce(1, *), dtype = dtype ?? held.dtype
        let own = held.written(of: elements, by: team), first = own.lowerBound - elements.lowerBound
        self.init(name: name, dtype: dtype, shape: shape, elements: first..<first + own.count) { consume in
            for range in NDArray.pieces(of: own.count, held.dtype) {
                let start = own.lowerBound + range.lowerBound
                let stored = try held.elements(start..<start + range.count).moved(to: .cpu)
                    .converted(to: dtype, name: name, file: url.path)
                try withExtendedLifetime(stored) {
                    try consume(UnsafeRawBufferPointer(start: stored.hostAddress(), count: stored.byteCount))
                }
            }
        }
    }

    /// An array to be written as `dtype`, in its own type by default, by one process.
    package init(_ name: String, _ array: NDArray, storedAs dtype: DType? = nil, in url: URL) {
        self.init(name, HeldArray(array), shape: array.shape, storedAs: dtype, in: url)
    }
}
