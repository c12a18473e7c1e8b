/// A complete checkpoint in a run's folder.
package struct RunCheckpoint: Sendable, Equatable {
    /// Optimiser steps done when it was written.
    package let step: Int
    /// Its folder.
    package let path: String
}
