import LigerRuntime
import Tile

/// How rows are cut among the programs of a kernel that also sums over rows.
///
/// The cut depends on the rows' number and length and on the device alone, so that sums repeat bit for bit on
/// any number of threads.
struct RowSplit {
    let programs: Int
    let rowsPerProgram: Int
    /// From one of a program's rows to its next, a multiple of 16, where long rows start at any address: then all of a
    /// program's rows are as far from a multiple of 16 bytes. Nil where its rows are contiguous.
    let step: Int?
    /// Of shorter rows registers hold the sums, and lanes that are moved one by one took 2 to 10% less time on an H200.
    /// Norms' backward passes of longer ones take 0.28 to 0.41 of the time with vectors.
    private static let longestWithoutStep = 1 << 14

    /// - Parameter dtype: of the rows, where kernels go through them by `Program.ownRows`; nil leaves them contiguous.
    init(rows: Int, columns: Int, dtype: DType? = nil, on device: Device) {
        let most = device.partialSums(rowLength: columns)
        if let dtype, columns > Self.longestWithoutStep, columns * dtype.byteCount % 16 != 0 {
            let step = max(1, most / 16) * 16
            self.step = step
            programs = min(rows, step)
            rowsPerProgram = (rows + step - 1) / step
        } else {
            step = nil
            rowsPerProgram = max(1, (rows + most - 1) / most)
            programs = (rows + rowsPerProgram - 1) / rowsPerProgram
        }
    }

    /// What `Program.ownRows` reads.
    var scalars: LaunchScalars {
        guard let step else { return ["rows per program": .index(rowsPerProgram)] }
        return ["sixteens from row to row": .index(step / 16)]
    }
}

extension Program {
    /// The rows that this program goes through, as a `RowSplit` cuts them.
    ///
    /// - Parameter strided: whether the split has a step.
    func ownRows(of rows: Tile<Int>, strided: Bool) -> (from: Tile<Int>, to: Tile<Int>, step: Tile<Int>?) {
        if strided { return (index, rows, scalar("sixteens from row to row", as: Int.self) * 16) }
        let share = scalar("rows per program", as: Int.self), first = index * share
        return (first, minimum(first + share, rows), nil)
    }
}
