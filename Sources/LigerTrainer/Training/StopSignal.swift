internal import Platform
internal import Synchronization

/// Interrupts (Ctrl-C) and requests to end, kept until the loop asks for them.
///
/// Training then finishes its step and writes a checkpoint. A second signal of a kind ends the process at
/// once, as without this.
package enum StopSignal {
    /// 0 while none came; written by the handler, so it must be a plain atomic.
    private static let received = Atomic<Int32>(0)

    /// Starts to keep signals instead of ending at them.
    package static func watch() {
        // Touched here, so that the handler never runs its first, locking access.
        received.store(0, ordering: .relaxed)
        // Whoever started this process may have handed on a mask that holds these signals back.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM] { sigaddset(&signals, number) }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                StopSignal.received.store(number, ordering: .relaxed)
                signal(number, SIG_DFL)
            }
        }
    }

    /// Ends at signals again.
    package static func unwatch() {
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }

    /// The signal that came since `watch`, if any.
    package static var pending: Int32? {
        let number = received.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }
}
