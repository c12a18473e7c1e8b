/// A complete checkpoint in a run's folder.
package struct RunCheckpoint: Sendable, Equatable, Codable {
    /// Optimiser steps done when it was written.
    package let step: Int
    /// Its folder.
    package let path: String
}

/// A checkpoint that is never taken, and why.
package struct DamagedCheckpoint: Sendable, Equatable {
    package let checkpoint: RunCheckpoint
    /// What is missing, cut off or not as it was written.
    package let fault: String
}
