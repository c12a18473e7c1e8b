internal import Platform
internal import Synchronization

/// A connection between two processes of a run, which carries short messages.
///
/// One thread reads; any may send.
package final class RankConnection: Sendable {
    /// What a message is.
    package enum Kind: UInt8 {
        /// Nothing but that the sender lives.
        case beat
        /// What the run's own thread waits for.
        case message
        /// That the run has failed, and why.
        case failure
        /// That the sender has come to its end.
        case farewell
    }

    package struct Message {
        package let kind: Kind
        package let bytes: [UInt8]
    }

    let descriptor: Int32
    private let writing = Mutex(())
    private let received = Mutex(Inbox())

    private struct Inbox {
        /// The beginning of a message.
        var bytes: [UInt8] = []
        /// Whole ones that came with one that was asked for alone.
        var messages: [Message] = []
    }

    /// Takes over a connected socket.
    package init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// - Returns: whether the other end took it.
    @discardableResult
    package func send(_ kind: Kind, _ bytes: [UInt8] = []) -> Bool {
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
    package func receive() -> [Message]? { received.withLock { take(into: &$0) } }

    private func take(into inbox: inout Inbox) -> [Message]? {
        if !inbox.messages.isEmpty {
            defer { inbox.messages = [] }
            return inbox.messages
        }
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(descriptor, &piece, piece.count)
        if count < 0 && errno == EINTR { return [] }
        guard count > 0 else { return nil }
        inbox.bytes += piece[..<count]
        var messages: [Message] = []
        while let message = Self.takeFirst(of: &inbox.bytes) { messages.append(message) }
        return messages
    }

    private static func takeFirst(of buffer: inout [UInt8]) -> Message? {
        guard let count = countOfFirst(in: buffer), buffer.count >= 5 + count else { return nil }
        defer { buffer.removeFirst(5 + count) }
        return Message(kind: Kind(rawValue: buffer[4]) ?? .failure, bytes: Array(buffer[5..<5 + count]))
    }

    private static func countOfFirst(in buffer: [UInt8]) -> Int? {
        buffer.count < 5 ? nil : (0..<4).reduce(0) { $0 | Int(buffer[$1]) << (8 * $1) }
    }

    /// The first message, waited for so many seconds; nil if none came, or one of more bytes than `limit`: whoever
    /// connects may be anybody. What came after it stays for `receive`.
    ///
    /// Only before anybody else reads.
    package func first(within seconds: Double, limit: Int = 1 << 24) -> Message? {
        let deadline = ProgressDisplay.seconds() + seconds
        while true {
            let rest = deadline - ProgressDisplay.seconds()
            var wanted = pollfd(descriptor: descriptor)
            guard rest > 0, poll(&wanted, 1, Int32(rest * 1000) + 1) > 0 else { return nil }
            let first = received.withLock { inbox -> Message?? in
                guard let messages = take(into: &inbox) else { return .some(nil) }
                inbox.messages = Array(messages.dropFirst())
                if let message = messages.first { return message.bytes.count <= limit ? message : .some(nil) }
                return Self.countOfFirst(in: inbox.bytes).map { $0 > limit } == true ? .some(nil) : nil
            }
            if let first { return first }
        }
    }
}

extension pollfd {
    /// Waits for something to read.
    init(descriptor: Int32) { self.init(fd: descriptor, events: Int16(POLLIN), revents: 0) }
}
