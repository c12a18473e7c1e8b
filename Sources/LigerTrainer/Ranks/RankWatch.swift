internal import Dispatch
internal import Platform
internal import Synchronization

/// Watches over a run's other processes on a thread of its own, and carries messages between them.
///
/// Each says every second that it lives, to rank 0, and rank 0 to all. One that closes its connection without a word
/// was killed; one that is silent was stopped, or its machine is gone. Then exchanges are ended, so that whoever waits
/// in one comes back, and this process is ended if its own thread does not do so itself.
final class RankWatch: Sendable {
    /// Seconds between signs of life, of silence that is too long, and that a run's own thread has to end.
    private static let (beat, silence, grace) = (1.0, 20.0, 10.0)

    private struct State {
        var messages: [Int: [[UInt8]]] = [:]
        var lastHeard: [Int: Double] = [:]
        var gone: Set<Int> = []
        var failure: String?
        var abort: (@Sendable () -> Void)?
        var isOver = false
    }

    private let members: [RankMeeting.Member]
    private let connections: [Int: RankConnection]
    private let launcher: Int32?
    private let state: Mutex<State>
    private let arrival = DispatchSemaphore(value: 0)
    private let queue = DispatchQueue(label: "ranks")

    init(_ outcome: RankMeeting.Outcome, launcher: Int32?) {
        members = outcome.members
        connections = outcome.connections
        self.launcher = launcher
        let now = ProgressDisplay.seconds()
        state = Mutex(State(lastHeard: outcome.connections.mapValues { _ in now }))
        // A closed connection is told by the call that writes to it.
        signal(SIGPIPE, SIG_IGN)
        queue.async { [self] in watch() }
    }

    /// Why the run has failed; nil while it has not.
    var failure: String? { state.withLock { $0.failure } }

    /// Sets what ends exchanges.
    func protect(_ abort: @escaping @Sendable () -> Void) {
        let hasFailed = state.withLock { state in
            state.abort = abort
            return state.failure != nil
        }
        if hasFailed { abort() }
    }

    /// Sends to a rank that this one is connected with.
    func send(_ bytes: [UInt8], to rank: Int) { connections[rank]?.send(.message, bytes) }

    /// The next message of a rank.
    ///
    /// - Throws: `TrainerError` (`rankLost`) if the run fails meanwhile.
    func message(from rank: Int) throws -> [UInt8] {
        while true {
            let found: [UInt8]? = try state.withLock { state in
                if let failure = state.failure { throw Self.error(failure) }
                guard state.messages[rank]?.isEmpty == false else { return nil }
                return state.messages[rank]?.removeFirst()
            }
            if let found { return found }
            _ = arrival.wait(timeout: .now() + 1)
        }
    }

    /// Says to all that this process has met an error.
    func report(_ text: String) {
        state.withLock { $0.isOver = true }
        for connection in connections.values { connection.send(.failure, Array(text.utf8)) }
    }

    /// Says to all that this process has come to its end.
    func leave() {
        state.withLock { $0.isOver = true }
        for connection in connections.values { connection.send(.farewell) }
    }

    static func error(_ failure: String) -> TrainerError {
        TrainerError(
            .rankLost, failure,
            remedy:
                "The run has ended on all ranks. Give the same command with --resume to go on from the last "
                + "checkpoint.")
    }

    // MARK: The thread

    private func watch() {
        var lastBeat = 0.0
        while !state.withLock({ $0.isOver }) {
            let now = ProgressDisplay.seconds()
            if now - lastBeat > Self.silence / 2, lastBeat > 0 {
                // This process itself stood still: nobody else was silent.
                state.withLock { state in state.lastHeard = state.lastHeard.mapValues { _ in now } }
            }
            if now - lastBeat >= Self.beat {
                lastBeat = now
                for connection in connections.values { connection.send(.beat) }
            }
            listen()
            if let fault = fault() { return fail(fault) }
        }
    }

    /// Takes what others have sent, for a quarter of a second at most.
    private func listen() {
        let gone = state.withLock { $0.gone }
        let open = connections.filter { !gone.contains($0.key) }.sorted { $0.key < $1.key }
        var wanted = open.map { pollfd(descriptor: $0.value.descriptor) }
        poll(&wanted, nfds_t(wanted.count), 250)
        for (event, (rank, connection)) in zip(wanted, open) where event.revents != 0 {
            let messages = connection.receive()
            let now = ProgressDisplay.seconds()
            state.withLock { state in
                state.lastHeard[rank] = now
                if messages == nil { lose(rank, &state) }
                for message in messages ?? [] { take(message, of: rank, &state) }
            }
            arrival.signal()
        }
    }

    private func take(_ message: RankConnection.Message, of rank: Int, _ state: inout State) {
        switch message.kind {
        case .beat: break
        case .message: state.messages[rank, default: []].append(message.bytes)
        case .failure: state.failure = state.failure ?? String(decoding: message.bytes, as: UTF8.self)
        case .farewell: state.gone.insert(rank)
        }
    }

    private func lose(_ rank: Int, _ state: inout State) {
        state.gone.insert(rank)
        state.failure =
            state.failure
            ?? "\(capitalised(rank)) ended without a word: it was killed, or memory ran out there."
    }

    private func fault() -> String? {
        let now = ProgressDisplay.seconds()
        return state.withLock { state in
            if state.failure == nil, !state.isOver {
                let silent = state.lastHeard.filter {
                    !state.gone.contains($0.key) && now - $0.value > Self.silence
                }
                if let rank = silent.keys.min() {
                    state.failure =
                        "\(capitalised(rank)) has given no sign of life for \(Int(Self.silence)) s: it was "
                        + "stopped, or its machine cannot be reached."
                } else if let launcher, getppid() != launcher {
                    state.failure = "The process that started the ranks, \(launcher), has ended."
                }
            }
            return state.failure
        }
    }

    private func capitalised(_ rank: Int) -> String { "R" + members[rank].name.dropFirst() }

    /// Tells the others, ends exchanges, and then the process.
    private func fail(_ fault: String) {
        for connection in connections.values { connection.send(.failure, Array(fault.utf8)) }
        arrival.signal()
        if let abort = state.withLock({ $0.abort }) {
            // It may wait for a GPU that does not answer.
            DispatchQueue(label: "ending exchanges").async(execute: abort)
        }
        let end = ProgressDisplay.seconds() + Self.grace
        while ProgressDisplay.seconds() < end {
            if state.withLock({ $0.isOver }) { return }
            usleep(50_000)
        }
        let text = "Error: \(Self.error(fault))\n"
        _ = Array(text.utf8).withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        _exit(EXIT_FAILURE)
    }
}
