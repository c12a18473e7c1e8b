import LigerRuntime

/// How rows are cut among the programs of a kernel that also sums over rows.
///
/// The cut depends on the rows' number and length and on the device alone, so that sums repeat bit for bit on
/// any number of threads.
struct RowSplit {
    let programs: Int
    let rowsPerProgram: Int

    init(rows: Int, columns: Int, on device: Device) {
        let most = device.partialSums(rowLength: columns)
        rowsPerProgram = max(1, (rows + most - 1) / most)
        programs = (rows + rowsPerProgram - 1) / rowsPerProgram
    }
}
