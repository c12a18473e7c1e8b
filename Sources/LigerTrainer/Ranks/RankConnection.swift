internal import Platform
internal import Synchronization

/// A connection between two processes of a run, which carries short messages.
///
/// One thread reads; any may send.
final class RankConnection: Sendable {
    /// What a message is.
    enum Kind: UInt8 {
        /// Nothing but that the sender lives.
        case beat
        /// What the run's own thread waits for.
        case message
        /// That the run has failed, and why.
        case failure
        /// That the sender has come to its end.
        case farewell
    }

    struct Message {
        let kind: Kind
        let bytes: [UInt8]
    }

    let descriptor: Int32
    private let writing = Mutex(())
    private let received = Mutex<[UInt8]>([])

    /// Takes over a connected socket.
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// - Returns: whether the other end took it.
    @discardableResult
    func send(_ kind: Kind, _ bytes: [UInt8] = []) -> Bool {
        let count = UInt32(bytes.count)
        let header = (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + [kind.rawValue]
        return writing.withLock { _ in
            (header + bytes).withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let sent = write(descriptor, bytes.baseAddress! + rest.startIndex, rest.count)
                    if sent < 0 && errno == EINTR { continue }
                    if sent <= 0 { return false }
                    rest = rest.dropFirst(sent)
                }
                return true
            }
        }
    }

    /// What has come whole since the last call; nil once the other end is closed and all of it was taken.
    ///
    /// Waits for the first bytes only; whoever must not wait asks `poll` before.
    func receive() -> [Message]? {
        received.withLock { buffer in
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(descriptor, &piece, piece.count)
            if count < 0 && errno == EINTR { return [] }
            guard count > 0 else { return nil }
            buffer += piece[..<count]
            var messages: [Message] = []
            while let message = Self.takeFirst(of: &buffer) { messages.append(message) }
            return messages
        }
    }

    private static func takeFirst(of buffer: inout [UInt8]) -> Message? {
        guard buffer.count >= 5 else { return nil }
        let count = (0..<4).reduce(0) { $0 | Int(buffer[$1]) << (8 * $1) }
        guard buffer.count >= 5 + count else { return nil }
        defer { buffer.removeFirst(5 + count) }
        return Message(kind: Kind(rawValue: buffer[4]) ?? .failure, bytes: Array(buffer[5..<5 + count]))
    }

    /// The first message, waited for so many seconds; nil if none came.
    ///
    /// Only before anybody else reads.
    func first(within seconds: Double) -> Message? {
        let deadline = ProgressDisplay.seconds() + seconds
        while true {
            let rest = deadline - ProgressDisplay.seconds()
            var wanted = pollfd(descriptor: descriptor)
            guard rest > 0, poll(&wanted, 1, Int32(rest * 1000) + 1) > 0, let messages = receive() else {
                return nil
            }
            if let message = messages.first { return message }
        }
    }
}

extension pollfd {
    /// Waits for something to read.
    init(descriptor: Int32) { self.init(fd: descriptor, events: Int16(POLLIN), revents: 0) }
}
