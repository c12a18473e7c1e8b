import Foundation
import LigerTrainer
import Testing

@Suite(.serialized) struct StopSignalTests {
    /// A host's handlers: with a mask and flags of their own, ignoring, or none.
    @Test(arguments: StopSignal.all) func theHostsHandlersComeBack(number: Int32) {
        var host = sigaction()
        sigaction(number, nil, &host)
        var own = sigaction()
        signal(number) { _ in }
        sigaction(number, nil, &own)
        own.sa_flags |= Int32(SA_NODEFER)
        sigaddset(&own.sa_mask, SIGUSR2)
        sigaction(number, &own, nil)
        var (mask, before) = (sigset_t(), sigset_t())
        sigemptyset(&mask)
        sigaddset(&mask, number)
        pthread_sigmask(SIG_BLOCK, &mask, &before)

        StopSignal.watching {
            #expect(StopSignal.pending == nil)
            // Nested, as with two runs on two threads.
            StopSignal.watching { _ = pthread_kill(pthread_self(), number) }
            #expect(StopSignal.pending == number)
        }

        var (after, held) = (sigaction(), sigset_t())
        sigaction(number, nil, &after)
        pthread_sigmask(SIG_SETMASK, &before, &held)
        #expect(sigismember(&held, number) == 1, "the thread's mask")
        #expect(after.sa_flags == own.sa_flags && sigismember(&after.sa_mask, SIGUSR2) == 1)
        sigaction(number, &host, nil)
    }

    /// As nohup does it.
    @Test func anIgnoredHangUpStaysIgnored() {
        let host = signal(SIGHUP, SIG_IGN)
        StopSignal.watching {
            kill(getpid(), SIGHUP)
            #expect(StopSignal.pending == nil)
        }
        signal(SIGHUP, host)
    }
}
