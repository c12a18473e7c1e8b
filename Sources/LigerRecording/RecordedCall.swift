package import LigerArrays

/// An operation over arrays of known shapes, ready to be run on any memory of those shapes.
///
/// All that depends on shapes, types and options has been done: kernels are found and compiled, launches cut,
/// parameters laid out. Running it fills in addresses and hands the work to the device; for a kernel on a GPU
/// that is one call of the driver. Nothing is allocated, but by matrix products for themselves.
///
/// Owner: its caller. Any thread may run it, several at once too if their memory is apart.
package final class RecordedCall: Sendable {
    package let device: Device
    /// What the caller provides after the arguments, in the order of its addresses.
    package let outputs: [CallOutput]
    /// Bytes of scratch memory, whose address comes last; 0 if there is none to give.
    package let workspaceBytes: Int
    private let slots: [CallSlot]
    private let steps: [any PreparedStep]

    init(
        device: Device, slots: [CallSlot], workspaceBytes: Int, outputs: [CallOutput],
        steps: [any PreparedStep]
    ) {
        self.device = device
        self.slots = slots
        self.workspaceBytes = workspaceBytes
        self.outputs = outputs
        self.steps = steps
    }

    /// How many addresses a run takes: arguments, outputs, and the workspace if there is one.
    package var addressCount: Int { slots.count }

    /// What was wrong with an address.
    package enum AddressError: Error {
        case misaligned(String)
    }

    /// Hands the work to the device.
    ///
    /// - Parameters:
    ///   - addresses: as many as `addressCount`.
    ///   - stream: the driver's handle of the stream that the work goes to; of no meaning on the processor,
    ///     where the work is done when this returns.
    /// - Throws: ``AddressError`` if memory is not as aligned as was said; `RuntimeError` if it overlaps or is
    ///   missing; `LaunchError` if a program fails a check, or did in an earlier run on the GPU; an error of
    ///   the device.
    package func run(_ addresses: UnsafePointer<UInt>, stream: UInt = 0) throws {
        try check(addresses)
        try device.backend.run(steps, addresses, stream: stream)
    }

    private func check(_ addresses: UnsafePointer<UInt>) throws {
        for (i, slot) in slots.enumerated() {
            let address = addresses[i]
            if address & UInt(slot.alignment - 1) != 0 {
                throw AddressError.misaligned(
                    "address \(i) of a prepared call is \(address), which is no multiple of \(slot.alignment)"
                )
            }
            if slot.byteCount == 0 { continue }
            if address == 0 {
                throw RuntimeError("address \(i) of a prepared call is null. Give it \(slot.byteCount) bytes")
            }
            for (j, other) in slots.enumerated() where j < i && (slot.isWritten || other.isWritten) {
                let start = addresses[j]
                if start < address + UInt(slot.byteCount) && address < start + UInt(other.byteCount) {
                    throw RuntimeError(
                        "addresses \(j) and \(i) of a prepared call overlap, and one is written. Keep them apart"
                    )
                }
            }
        }
    }
}
