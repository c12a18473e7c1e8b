// The C library's streams are global variables, which the language cannot see to be safe; they never change here.
#if canImport(Glibc)
    @preconcurrency internal import Glibc
#elseif canImport(Musl)
    @preconcurrency internal import Musl
#elseif canImport(Darwin)
    @preconcurrency internal import Darwin
#endif

/// This process's standard input, output and error.
package enum StandardStreams {
    /// Opens to nowhere whichever of them the process was started without. A file that is opened gets the lowest number
    /// that is free: without this a checkpoint would, and lines meant for a terminal would be written into it.
    package static func open() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
            _ = nowhere(descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY)
        }
    }

    /// Whether standard output has taken all that was printed.
    package static func hasTakenAll() -> Bool { fflush(stdout) == 0 && ferror(stdout) == 0 }
}

/// `open(2)`, under a name that the method above does not hide.
private func nowhere(_ flags: Int32) -> Int32 { open("/dev/null", flags) }
