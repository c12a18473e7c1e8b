import Foundation
import LigerTrainer
import Testing

/// Each case has a process of its own: handlers are the process's, and other suites train in this one meanwhile.
@Suite struct StopSignalTests {
    /// A host's handlers: with a mask and flags of their own.
    @Test(arguments: StopSignal.all) func theHostsHandlersComeBack(number: Int32) async {
        await #expect(processExitsWith: .success) { [number] in
            var own = sigaction()
            signal(number) { _ in }
            sigaction(number, nil, &own)
            own.sa_flags |= Int32(SA_NODEFER)
            sigaddset(&own.sa_mask, SIGUSR2)
            sigaction(number, &own, nil)
            var mask = sigset_t()
            sigemptyset(&mask)
            sigaddset(&mask, number)
            pthread_sigmask(SIG_BLOCK, &mask, nil)

            StopSignal.watching {
                #expect(StopSignal.pending == nil)
                // Nested, as with two runs on two threads.
                StopSignal.watching { _ = pthread_kill(pthread_self(), number) }
                #expect(StopSignal.pending == number)
            }

            var (after, held) = (sigaction(), sigset_t())
            sigaction(number, nil, &after)
            pthread_sigmask(SIG_SETMASK, nil, &held)
            #expect(sigismember(&held, number) == 1, "the thread's mask")
            #expect(after.sa_flags == own.sa_flags && sigismember(&after.sa_mask, SIGUSR2) == 1)
        }
    }

    /// A reader that goes away ends a run no more than it ends the process afterwards less.
    @Test func brokenPipesEndNothingMeanwhile() async {
        await #expect(processExitsWith: .signal(SIGPIPE)) {
            signal(SIGPIPE, SIG_DFL)
            StopSignal.watching {
                kill(getpid(), SIGPIPE)
                #expect(StopSignal.pending == nil)
            }
            kill(getpid(), SIGPIPE)
        }
    }

    /// As nohup does it.
    @Test func anIgnoredHangUpStaysIgnored() async {
        await #expect(processExitsWith: .success) {
            signal(SIGHUP, SIG_IGN)
            StopSignal.watching {
                kill(getpid(), SIGHUP)
                #expect(StopSignal.pending == nil)
            }
        }
    }
}
