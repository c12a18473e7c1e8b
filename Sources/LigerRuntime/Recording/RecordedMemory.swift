import Tile

// The memory that work would take on a device, found by recording the work instead of doing it. All that asks a
// recording for its memory is in this file.
extension Device {
    /// A stand-in for this device on which arrays take no memory and have no values, and work is noted, not done.
    package func recordingMemory() -> Device { Device(recording: Recording(), for: self) }

    /// Whether work is noted instead of done, so that arrays have no values.
    package var isRecording: Bool { recording != nil }

    /// Bytes that arrays of a stand-in held, after each time that one came or went. What the processor takes within
    /// a matrix product is not among them: `recordedProductBytes` says how much that is.
    package var recordedBytes: [Int] {
        guard let recorded = recording?.recorded else { return [] }
        var bytes = 0
        return recorded.events.map { event in
            switch event {
            case .taken(let piece): bytes += recorded.pieces[piece].byteCount
            case .givenUp(let piece): bytes -= recorded.pieces[piece].byteCount
            }
            return bytes
        }
    }

    /// The most bytes that one of a stand-in's matrix products takes for itself; 0 on a GPU, where the library's
    /// workspace is there once and for all.
    package var recordedProductBytes: Int {
        if cuda != nil { return 0 }
        let sizes = recording?.recorded.steps.map { step in
            guard case .product(let product) = step else { return 0 }
            let rows = product.c.shape.dropLast().reduce(1, *)
            return MatMul.workspaceBytes(
                rows: rows, columns: product.c.shape.last ?? 1,
                inner: product.transposeA ? product.a.shape[0] : product.a.shape.last ?? 1,
                dtypes: [product.a.dtype, product.b.dtype, product.c.dtype])
        }
        return sizes?.max() ?? 0
    }
}
