package import Tile

/// Indices that come from data.
///
/// A GPU reports a failed requirement once the kernel has ended, and goes on until then: what a wrong index names must not
/// be read, as it may be no memory.
extension Program {
    /// A label, 0 where it is no class. One that is neither a class nor the ignored label is an error.
    @discardableResult
    package func checkedLabel(
        _ label: Tile<Int>, classes: Int, ignoreIndex: Int, file: StaticString = #fileID, line: UInt = #line
    ) -> Tile<Int> {
        let isClass = (label >= 0) & (label < classes)
        require(
            (label == ignoreIndex) | isClass,
            "the label of this row, {}, is neither a class, 0 to \(classes - 1), nor the ignored label "
                + "\(ignoreIndex). Correct the labels, or set the ignored one", label, file: file, line: line)
        return select(isClass, label, 0)
    }

    /// An index below a count, 0 where it is not, which is an error.
    ///
    /// - Parameter message: what is wrong then; {} stands for the index.
    package func checkedIndex(
        _ index: Tile<Int>, below count: Tile<Int>, _ message: String, file: StaticString = #fileID,
        line: UInt = #line
    ) -> Tile<Int> {
        let isInside = (index >= 0) & (index < count)
        require(isInside, message, index, file: file, line: line)
        return select(isInside, index, 0)
    }
}
