package import LigerKernels
import LigerRuntime

/// A run of a layer's classes, of which other ranks have the rest.
package struct ClassShare {
    package let ranks: any ClassRanks
    /// This rank's.
    package let classes: Range<Int>
    /// Classes of all ranks.
    package let total: Int

    /// - Parameters:
    ///   - ranks: those that share the classes.
    ///   - classes: this rank's.
    ///   - total: classes of all ranks.
    package init(ranks: any ClassRanks, classes: Range<Int>, total: Int) {
        precondition(classes.lowerBound >= 0 && classes.upperBound <= total, "classes among all")
        (self.ranks, self.classes, self.total) = (ranks, classes, total)
    }

    /// As `LabelExponentials.apply`, with what all ranks found.
    func exponentials(
        _ x: NDArray, _ weight: NDArray, _ labels: NDArray, into e: NDArray,
        _ options: LabelExponentials.Options
    ) throws -> LabelExponentials.Result {
        let layer = try ExponentialBlocks.Layer(
            x, weight: weight, labels: labels, first: classes.lowerBound, options: options)
        return try SharedExponentials.apply(layer, of: total, into: e, ranks: ranks)
    }
}
