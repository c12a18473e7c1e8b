internal import Platform
internal import Synchronization

/// Interrupts (Ctrl-C), requests to end, a terminal that goes away, and a scheduler's warning (SIGUSR1), kept until the
/// loop asks for them.
///
/// Training then finishes its step and writes a checkpoint. A second signal of a kind ends the process at
/// once, as without this. A pipe whose reader has gone (SIGPIPE) ends nothing meanwhile: whoever reads along is not who trains.
package enum StopSignal {
    /// Those that are kept.
    package static let all = [SIGINT, SIGTERM, SIGHUP, SIGUSR1]

    /// 0 while none came; written by the handler, so it must be a plain atomic.
    private static let received = Atomic<Int32>(0)
    private static let host = Mutex(Host())

    /// What the process does at signals when nobody watches.
    private struct Host {
        /// Runs that watch; they may be on several threads.
        var watchers = 0
        var actions: [(number: Int32, action: sigaction)] = []
    }

    /// Runs `body`, and keeps signals meanwhile. Afterwards the process's own handlers are there again, and this
    /// thread's mask.
    ///
    /// SIGHUP is left alone where it is ignored: that is what nohup is for.
    package static func watching<Result>(_ body: () throws -> Result) rethrows -> Result {
        var (signals, mask) = (sigset_t(), sigset_t())
        sigemptyset(&signals)
        for number in all { sigaddset(&signals, number) }
        watch()
        // Whoever started this process may have handed on a mask that holds these signals back.
        pthread_sigmask(SIG_UNBLOCK, &signals, &mask)
        defer {
            pthread_sigmask(SIG_SETMASK, &mask, nil)
            unwatch()
        }
        return try body()
    }

    /// The signal that came since `watching` began, if any.
    package static var pending: Int32? {
        let number = received.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    private static func watch() {
        host.withLock { host in
            host.watchers += 1
            guard host.watchers == 1 else { return }
            // Touched here, so that the handler never runs its first, locking access.
            received.store(0, ordering: .relaxed)
            for number in all {
                var action = sigaction()
                sigaction(number, nil, &action)
                let previous = signal(number) { number in
                    StopSignal.received.store(number, ordering: .relaxed)
                    signal(number, SIG_DFL)
                }
                if number == SIGHUP, isIgnoring(previous) {
                    sigaction(number, &action, nil)
                } else {
                    host.actions.append((number, action))
                }
            }
            ignoreBrokenPipes(&host)
        }
    }

    /// Unless the host does something of its own then.
    private static func ignoreBrokenPipes(_ host: inout Host) {
        var action = sigaction()
        sigaction(SIGPIPE, nil, &action)
        let previous = signal(SIGPIPE, SIG_IGN)
        if isIgnoring(previous) || isUsual(previous) {
            host.actions.append((SIGPIPE, action))
        } else {
            sigaction(SIGPIPE, &action, nil)
        }
    }

    private static func unwatch() {
        host.withLock { host in
            host.watchers -= 1
            guard host.watchers == 0 else { return }
            for (number, action) in host.actions {
                var action = action
                sigaction(number, &action, nil)
            }
            host.actions = []
        }
    }

    private static func isUsual(_ handler: (@convention(c) (Int32) -> Void)?) -> Bool {
        unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_DFL, to: Int.self)
    }

    private static func isIgnoring(_ handler: (@convention(c) (Int32) -> Void)?) -> Bool {
        unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
