/// How rows are cut among the programs of a kernel that also sums over rows.
///
/// The cut depends on the number of rows alone, so that sums repeat bit for bit on any number of threads.
struct RowSplit {
    let programs: Int
    let rowsPerProgram: Int

    /// Partial sums to combine afterwards; enough to keep every core busy.
    static let most = 32

    init(rows: Int) {
        rowsPerProgram = max(1, (rows + Self.most - 1) / Self.most)
        programs = (rows + rowsPerProgram - 1) / rowsPerProgram
    }
}
