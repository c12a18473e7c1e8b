package import Tile

/// A piece of a device's work with everything settled but where its arrays lie.
package protocol PreparedStep: Sendable {
    /// Hands it in.
    ///
    /// - Parameters:
    ///   - addresses: by the slots of its places.
    ///   - stream: as in `Backend.withStream`.
    func run(_ addresses: UnsafePointer<UInt>, stream: UInt) throws
}

/// A place in memory, once the slots' addresses are known.
package struct CallPlace: Sendable {
    package let slot: Int
    package let byteOffset: Int

    package init(slot: Int, byteOffset: Int) {
        self.slot = slot
        self.byteOffset = byteOffset
    }

    /// What is nothing may have no memory; whatever would touch it there fails its bounds checks.
    package func address(_ addresses: UnsafePointer<UInt>) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: addresses[slot] &+ UInt(bitPattern: byteOffset)) ?? Self.nowhere
    }

    // Never touched.
    private nonisolated(unsafe) static let nowhere = UnsafeMutableRawPointer.allocate(
        byteCount: 64, alignment: 64)
}

/// An array of a step, with its place settled.
package struct PlacedArray: Sendable {
    package let place: CallPlace
    package let shape: [Int]
    package let strides: [Int]
    package let dtype: DType

    package init(place: CallPlace, shape: [Int], strides: [Int], dtype: DType) {
        self.place = place
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
    }

    package func view(_ addresses: UnsafePointer<UInt>) -> MemoryView {
        MemoryView(address: place.address(addresses), shape: shape, strides: strides, dtype: dtype)
    }
}
