import LigerRuntime

/// Which keys before it a query sees, and what happens to scores before the softmax:
///
///     s = scale q · k, or c tanh(scale q · k / c) with a softcap c
package struct AttentionRule: Sendable, Hashable {
    /// What products are multiplied by; nil for 1 / sqrt(head size).
    package var scale: Float?
    /// How many keys a query sees at most: its own, and those right before it. Nil for all before it.
    package var window: Int?
    /// The largest score; nil for no such bound.
    package var softcap: Float?

    package init(scale: Float? = nil, window: Int? = nil, softcap: Float? = nil) {
        self.scale = scale
        self.window = window
        self.softcap = softcap
    }

    /// All keys before it, and the usual scores.
    package static let causal = AttentionRule()

    /// - Throws: `RuntimeError` where a number makes no sense.
    func check() throws {
        if let window, window < 1 {
            throw RuntimeError("attention with a window of \(window) keys. Give at least 1, or none")
        }
        for (name, number) in [("scale", scale), ("softcap", softcap)] {
            if let number, !(number > 0 && number.isFinite) {
                throw RuntimeError("attention with a \(name) of \(number). Give a number above 0, or none")
            }
        }
    }
}
