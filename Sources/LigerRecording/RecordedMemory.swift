package import LigerArrays

// The memory that work would take on a device, found by recording the work instead of doing it. All that asks a
// recording for its memory is in this file.
extension Device {
    /// A stand-in for this device on which arrays take no memory and have no values, and work is noted, not done.
    package func recordingMemory() -> Device { Device(Recording(measuring: self)) }

    /// The device that this one measures memory for; nil if it is no such stand-in. Work that cannot be recorded, such
    /// as that of other libraries, takes there what it would take on that device.
    package var measured: Device? { (backend as? Recording)?.measured }

    /// Bytes that arrays of a stand-in held, after each time that one came or went. What the processor takes within
    /// a matrix product is not among them: `recordedProductBytes` says how much that is.
    package var recordedBytes: [Int] {
        guard let noted = (backend as? Recording)?.noted else { return [] }
        var bytes = 0
        return noted.events.map { event in
            switch event {
            case .taken(let piece): bytes += noted.pieces[piece].byteCount
            case .givenUp(let piece): bytes -= noted.pieces[piece].byteCount
            }
            return bytes
        }
    }

    /// The most bytes that one of a stand-in's matrix products takes for itself.
    package var recordedProductBytes: Int {
        guard let recording = backend as? Recording else { return 0 }
        let sizes = recording.noted.steps.map { step in
            guard case .product(let recorded) = step else { return 0 }
            return recording.base.workspaceBytes(recorded.product)
        }
        return sizes.max() ?? 0
    }
}
