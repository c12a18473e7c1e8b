package import LigerRuntime

/// Where a loss puts the gradient of a chunk's logits.
package struct LogitGradient {
    /// [rows, V]; the logits' own array unless these are stored exactly.
    package let values: NDArray
    /// [rows], f32: set to what each row of the values has to be multiplied by (`overRowScale`); nil where the values are
    /// not f16, or not wanted.
    package let scales: NDArray?

    func sliced(_ rows: Range<Int>) -> LogitGradient {
        LogitGradient(values: values.sliced(0, rows), scales: scales?.sliced(0, rows))
    }
}
