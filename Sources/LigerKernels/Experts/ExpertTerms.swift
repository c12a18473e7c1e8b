package import LigerRuntime

/// Gradients of experts and what goes to them, those that are wanted. Of matrices it is what is yet to be computed, right
/// into a sum.
package struct ExpertTerms {
    /// Of the tokens, and of the weights of choices.
    package var dInput, dChoices: NDArray?
    /// Of G and U, and of D.
    package var dGateUp, dDown: ExpertTerm?

    init(dChoices: NDArray? = nil) { self.dChoices = dChoices }
}

/// Products over each expert's rows that are not yet computed.
package struct ExpertTerm {
    package let device: Device
    private let body: (_ sum: NDArray, _ accumulate: Bool) throws -> Void

    /// - Parameter body: adds them to a sum, or writes them there.
    package init(_ device: Device, _ body: @escaping (_ sum: NDArray, _ accumulate: Bool) throws -> Void) {
        (self.device, self.body) = (device, body)
    }

    /// Adds the products to `sum`, [experts, rows, columns], or writes them there.
    package func apply(into sum: NDArray, accumulate: Bool) throws { try body(sum, accumulate) }
}
