import LigerRuntime
import Tile

/// How rows are cut among the programs of a kernel that also sums over rows.
///
/// The cut depends on the rows' number and length and on the device alone, so that sums repeat bit for bit on
/// any number of threads.
struct RowSplit {
    let programs: Int
    let rowsPerProgram: Int
    /// Whether program i has rows i, i + programs, i + 2 programs, and so on; else it has neighbours.
    let interleaves: Bool

    init(rows: Int, columns: Int, on device: Device) {
        let most = device.partialSums(rowLength: columns)
        rowsPerProgram = max(1, (rows + most - 1) / most)
        programs = (rows + rowsPerProgram - 1) / rowsPerProgram
        interleaves = false
    }

    /// For a kernel whose rows may be interleaved. Those that fill no vectors are, over a multiple of 8 programs: then all
    /// rows of a program start as far from a multiple of 16 bytes, wherever that is, and vectors suit them.
    init(rows: Int, columns: Int, dtype: DType, on device: Device) {
        if columns * dtype.byteCount % 16 == 0 {
            self.init(rows: rows, columns: columns, on: device)
        } else {
            // Sums of many programs' sums are made in 32 parts.
            let wanted = min(rows, device.partialSums(rowLength: columns)), unit = wanted < 1024 ? 8 : 32
            let most = max(unit, wanted / unit * unit)
            self.init(programs: most, rowsPerProgram: (rows + most - 1) / most, interleaves: true)
        }
    }

    private init(programs: Int, rowsPerProgram: Int, interleaves: Bool) {
        (self.programs, self.rowsPerProgram, self.interleaves) = (programs, rowsPerProgram, interleaves)
    }

    /// What `OwnRows` is told.
    var scalars: LaunchScalars {
        interleaves
            ? ["eighth of programs": .index(programs / 8)] : ["rows per program": .index(rowsPerProgram)]
    }
}

/// The rows of a program, as `RowSplit` cuts them.
struct OwnRows {
    private let given: Tile<Int>
    private let interleaves: Bool

    init(_ p: Program, interleaves: Bool) {
        given = p.scalar(interleaves ? "eighth of programs" : "rows per program", as: Int.self)
        self.interleaves = interleaves
    }

    /// For a loop over them; nil steps by one.
    func bounds(_ p: Program, of x: View<Float>) -> (from: Tile<Int>, to: Tile<Int>, step: Tile<Int>?) {
        if interleaves { return (p.index, x.size(0), given * 8) }
        let first = p.index * given
        return (first, minimum(first + given, x.size(0)), nil)
    }
}
