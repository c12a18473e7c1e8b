package import Tile

/// An architecture that kernels are planned and printed for. What differs between architectures is a value of this;
/// nothing asks which one it has before it.
package protocol GPUTarget: Sendable, CustomStringConvertible {
    /// The language that it is printed in, as `--emit` calls it.
    static var language: String { get }
    var limits: GPULimits { get }
    /// The choice for a function, with what the architecture has.
    func schedule(_ function: TileFunction, layouts: [GPULayout]) -> GPUSchedule
    /// A thread's program in the architecture's language.
    func text(_ function: ThreadFunction) throws -> String
}

extension GPUTarget {
    /// All that is decided about a kernel for this architecture.
    ///
    /// - Throws: `LoweringError` where the architecture lacks what the kernel is made of.
    package func plan(_ function: TileFunction, layouts: [GPULayout]) throws -> GPUPlan {
        try GPUPlan(
            function, layouts: layouts, schedule: schedule(function, layouts: layouts), limits: limits)
    }
}
