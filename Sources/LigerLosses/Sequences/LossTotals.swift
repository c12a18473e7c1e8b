package import LigerRuntime

/// What the means of a loss over sequences are taken over, where a batch is one of several parts that are differentiated one
/// by one: what all parts have, divided by the number of parts.
///
/// The losses of the parts, each times 1 / parts, then add up to that of one batch of all, however their tokens are spread.
/// A part without any token that counts has the share of its sequences too. Numbers stay on the device: they change from step
/// to step, and captured work reads them where they are.
package struct LossTotals: Sendable {
    /// One f32: pairs, answers or sequences.
    package let units: NDArray
    /// One f32: tokens that count.
    package let tokens: NDArray
    /// One f32: tokens that a likelihood in addition is a mean over.
    package let likely: NDArray
    /// One f32: tokens of a loss that is a mean over those of each of a step's passes.
    package let passTokens: NDArray

    /// - Parameters:
    ///   - units: one f32, as all of these.
    package init(units: NDArray, tokens: NDArray, likely: NDArray, passTokens: NDArray) {
        (self.units, self.tokens, self.likely, self.passTokens) = (units, tokens, likely, passTokens)
    }
}
