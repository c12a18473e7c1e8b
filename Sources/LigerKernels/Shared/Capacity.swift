/// The capacity that a kernel is compiled for where a length varies from call to call: the next power of two, so that
/// many lengths share few kernels.
func capacity(for length: Int, atLeast least: Int) -> Int {
    length <= least ? least : 1 << (Int.bitWidth - (length - 1).leadingZeroBitCount)
}
