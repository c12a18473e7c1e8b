internal import CNCCL
internal import LigerGPU
package import LigerRuntime
internal import Synchronization

/// What a rank exchanges arrays through with all others.
///
/// Every rank makes the same calls in the same order. On a GPU they are handed to its current stream and nothing waits
/// for them, as with kernels; a rank that is missing shows when something else waits. `abort` makes waiting ranks come
/// back, with contents that mean nothing.
///
/// Owner: the run. One thread makes calls; any may abort.
package final class Communicator: Sendable, CustomStringConvertible {
    /// This process, from 0.
    package let rank: Int
    /// How many there are.
    package let count: Int
    package let device: Device
    /// Nil for one that exchanges nothing.
    private let library: NCCL?
    // A handle that is only touched within the lock, or by the thread that makes calls.
    private nonisolated(unsafe) let handle: ncclComm_t?
    private let isAborted = Mutex(false)

    /// What all ranks find each other by, made by one of them.
    ///
    /// - Throws: `RuntimeError` if NCCL is missing, too old, or finds no way to be reached.
    package static func makeIdentifier(for device: Device) throws -> [UInt8] {
        let library = try NCCL.serving(device)
        var id = ncclUniqueId()
        try library.check(library.uniqueID(&id), nil, "making an identifier of ranks")
        return withUnsafeBytes(of: id) { Array($0) }
    }

    /// Waits until all ranks have come.
    ///
    /// - Throws: `RuntimeError` if NCCL is missing, too old, or cannot connect them.
    package convenience init(
        rank: Int, of count: Int, identifier: [UInt8], device: Device
    ) throws {
        try self.init(
            rank: rank, of: count, identifier: identifier, device: device, library: NCCL.serving(device))
    }

    package init(
        rank: Int, of count: Int, identifier: [UInt8], device: Device, library: NCCL
    ) throws {
        var id = ncclUniqueId()
        precondition(identifier.count == MemoryLayout<ncclUniqueId>.size, "an identifier that NCCL made")
        withUnsafeMutableBytes(of: &id) { $0.copyBytes(from: identifier) }
        var handle: ncclComm_t?
        try device.withLibraryStream { _ in
            try library.check(
                library.initialise(&handle, Int32(count), id, Int32(rank)), nil,
                "connecting rank \(rank) of \(count)")
        }
        guard let handle else { throw RuntimeError("NCCL made no communicator", kind: .device) }
        (self.rank, self.count, self.device, self.library, self.handle) =
            (rank, count, device, library, handle)
    }

    /// One that exchanges nothing, to learn on a device that records what a rank's exchanges take.
    package init(rehearsing rank: Int, of count: Int, device: Device) {
        (self.rank, self.count, self.device, library, handle) = (rank, count, device, nil, nil)
    }

    /// What moves the bytes: "NCCL 2.27.3", or "shared memory".
    package var description: String {
        guard let library else { return "nothing" }
        return device.isGPU ? "\(library.name) \(library.versionText)" : library.path
    }

    deinit {
        // NCCL waits for other ranks in this, which may have ended: on a GPU the process's end gives all back.
        if !device.isGPU, !isAborted.withLock({ $0 }), let library, let handle { _ = library.destroy(handle) }
    }

    /// Ends all exchanges, of all ranks sooner or later: whoever waits for one comes back. Nothing can be exchanged
    /// afterwards.
    package func abort() {
        isAborted.withLock { isAborted in
            guard !isAborted else { return }
            isAborted = true
            if let library, let handle { _ = library.abort(handle) }
        }
    }

    /// Throws what went wrong in exchanges that were begun.
    package func check() throws {
        try isAborted.withLock { isAborted in
            guard !isAborted else { throw Self.ended }
            guard let library, let handle else { return }
            var code = ncclSuccess
            try library.check(
                library.asynchronousError(handle, &code), handle, "asking for the state of exchanges")
            if code != ncclInProgress { try library.check(code, handle, "an exchange between ranks") }
        }
    }

    private static let ended = RuntimeError("the exchange between ranks was ended", kind: .device)

    /// Begins what `body` sends and receives together.
    func exchange(_ body: (Exchange) throws -> Void) throws {
        if isAborted.withLock({ $0 }) { throw Self.ended }
        guard let library, let handle else { return }
        try device.withLibraryStream { stream in
            try library.check(library.beginGroup(), handle, "beginning an exchange between ranks")
            let result = Result {
                try body(Exchange(library: library, handle: handle, stream: stream))
            }
            let code = library.endGroup()
            try result.get()
            try library.check(code, handle, "an exchange between ranks")
        }
    }

    /// Sends and receives that are begun together.
    struct Exchange {
        fileprivate let library: NCCL
        fileprivate let handle: ncclComm_t
        fileprivate let stream: UnsafeMutableRawPointer?

        /// Sends contiguous elements, which must stay as they are until that is done.
        func send(_ array: NDArray, to peer: Int) throws {
            if array.count == 0 { return }
            try library.check(
                library.send(array.address, array.byteCount, ncclUint8, Int32(peer), handle, stream), handle,
                "sending to rank \(peer)")
        }

        /// Receives as many bytes as the contiguous array has.
        func receive(_ array: NDArray, from peer: Int) throws {
            if array.count == 0 { return }
            try library.check(
                library.receive(array.address, array.byteCount, ncclUint8, Int32(peer), handle, stream),
                handle, "receiving from rank \(peer)")
        }
    }
}
