/// Memory of one kind, as the system hands it out.
package protocol MemorySource: Sendable {
    /// The size of the block that serves a request: the same for like requests, so that blocks are reused.
    func sizeClass(_ bytes: Int) -> Int

    /// The queue of work that memory is taken for. A block that one queue has given up may still be used by
    /// work waiting in it, so only that queue gets it again.
    func queue() throws -> Int

    /// A new block, nil when there is none left.
    func allocate(_ size: Int) throws -> UnsafeMutableRawPointer?

    /// Takes blocks back.
    func free(_ blocks: [UnsafeMutableRawPointer])

    /// What is left and what to do, for the message when memory runs out.
    var shortage: String { get }
}
