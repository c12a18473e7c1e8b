/// A kernel: one short function over tiles, written once for every device.
///
/// The stored properties of a kernel are its compile-time constants (row lengths, dtypes, options); two
/// equal values are one compiled kernel. Everything else (row counts, strides, eps) is bound at launch.
/// `Documentation/AddingAKernel.md` walks through writing one.
public protocol TileKernel: Hashable, Sendable {
    /// What messages, lists and launch counters call it; the type's name where nothing else is said.
    var name: String { get }

    /// What one program does. Called once per specialisation, to record the operations; it must depend on
    /// nothing but the kernel's own properties.
    func body(_ p: Program)
}

extension TileKernel {
    public var name: String { "\(Self.self)" }
}
