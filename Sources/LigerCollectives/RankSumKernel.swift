internal import LigerRuntime
internal import Tile

/// own = sum over ranks in their order; fp32 throughout, one rounding at the end.
///
/// Reads all ranks' elements once, [others, elements] of the others and [elements] of this one, and writes the latter.
struct RankSumKernel: TileKernel {
    /// Ranks but this one.
    let others: Int
    /// This one's place in the order.
    let rank: Int
    let dtype: DType

    private static let elementsPerProgram = 4096

    func body(_ p: Program) {
        let received = p.input("received", dtype, rank: 2), own = p.update("own", dtype, rank: 1)
        let i = p.range(
            from: p.index * Self.elementsPerProgram, capacity: Self.elementsPerProgram, limit: own.size(0))
        func term(_ number: Int) -> Tile<Float> {
            if number == rank { return own[i] }
            return received[number < rank ? number : number - 1, i]
        }
        var sum = term(0)
        for number in 1...others { sum = sum + term(number) }
        own[i] = sum
    }

    func launch(over own: NDArray, _ received: NDArray) throws {
        let programs = (own.count + Self.elementsPerProgram - 1) / Self.elementsPerProgram
        try launch(programs: programs, ["received": received, "own": own])
    }
}
