package import Tile

/// A kernel compiled for a device and for views of some layout.
package protocol LoadedKernel: AnyObject, Sendable {
    var signature: KernelSignature { get }

    /// Hands in programs 0 ..< programs. The arguments fit the signature.
    func launch(programs: Int, _ views: [MemoryView], _ scalars: [LaunchScalar]) throws

    /// The launch with everything settled but addresses.
    func prepared(
        programs: Int, _ arrays: [PlacedArray], _ scalars: [LaunchScalar]
    ) throws -> any PreparedStep
}

/// What a kernel declares, and where its launches are counted.
package struct KernelSignature: Sendable {
    package let name: String
    package let views: [ViewParameter]
    package let scalars: [ScalarParameter]
    package let counter: LaunchCounters.Counter

    package init(
        name: String, views: [ViewParameter], scalars: [ScalarParameter],
        counter: LaunchCounters.Counter = LaunchCounters.Counter()
    ) {
        self.name = name
        self.views = views
        self.scalars = scalars
        self.counter = counter
    }
}
