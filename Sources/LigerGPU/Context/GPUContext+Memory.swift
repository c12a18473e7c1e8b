import LigerArrays

extension UnsafeMutableRawPointer {
    /// As the driver takes addresses.
    package var deviceAddress: UInt64 { UInt64(UInt(bitPattern: self)) }
}

extension GPUContext {
    /// What the driver says of the GPU's memory, in bytes: what is free, and all there is.
    package func memoryInformation() throws -> (free: Int, total: Int) {
        var (free, total) = (0, 0)
        try use { try check(functions.memoryInfo(&free, &total), "asking for free memory") }
        return (free, total)
    }

    /// Host memory that the GPU reads and writes itself, at the same address. It is never given back.
    package func allocatePinned(_ bytes: Int) throws -> UnsafeMutableRawPointer {
        var address: UnsafeMutableRawPointer?
        try useOutsideCaptures {
            try check(
                functions.allocateHost(&address, bytes, functions.pinned),
                "pinning \(bytes) bytes of host memory")
        }
        guard let address else { throw RuntimeError("the driver pinned no host memory") }
        return address
    }
}
