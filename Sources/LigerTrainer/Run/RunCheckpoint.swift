/// A complete checkpoint in a run's folder.
package struct RunCheckpoint: Sendable, Equatable, Codable {
    /// Optimiser steps done when it was written.
    package let step: Int
    /// Its folder.
    package let path: String

    package init(step: Int, path: String) { (self.step, self.path) = (step, path) }
}

/// A checkpoint that is never taken, and why.
package struct DamagedCheckpoint: Sendable, Equatable {
    package let checkpoint: RunCheckpoint
    /// What is missing, cut off or not as it was written.
    package let fault: String
}
