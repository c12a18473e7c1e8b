public import Tile

/// y = log(sum(exp(x / temperature))): one number a row, and no overflow, as the largest is taken out.
public struct LogSumExp: TileKernel {
    let columns: Int

    public init(columns: Int) { self.columns = columns }

    public func body(_ p: Program) {
        let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1)
        let temperature = p.scalar("temperature")
        let v = x[p.index, p.range(columns)] / temperature
        let top = max(v)
        y[p.index] = top + log(sum(exp(v - top)))
    }
}
