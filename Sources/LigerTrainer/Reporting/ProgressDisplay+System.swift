internal import Platform

extension ProgressDisplay.Output {
    /// This process's standard output and error, written at once.
    package static var standard: ProgressDisplay.Output {
        ProgressDisplay.Output(
            isStyled: ProgressDisplay.isStyled, write: { writeAll($0, to: STDOUT_FILENO) },
            writeBeside: { writeAll($0, to: STDERR_FILENO) })
    }
}

extension ProgressDisplay.Output {
    /// Nowhere.
    static var none: ProgressDisplay.Output {
        ProgressDisplay.Output(write: { _ in }, writeBeside: { _ in })
    }
}

extension ProgressDisplay.Style {
    /// JSON when asked for; else what standard output is: a terminal, or a file or pipe.
    package static func suited(json: Bool, plainEvery: Int) -> ProgressDisplay.Style {
        if json { return .json }
        return ProgressDisplay.isTerminal ? .terminal(columns: terminalColumns) : .plain(every: plainEvery)
    }
}

extension ProgressDisplay {
    /// Whether standard output is a terminal that can draw a line again. `TERM` says which it is; `dumb` ones cannot.
    package static var isTerminal: Bool {
        isatty(STDOUT_FILENO) == 1 && !["", "dumb"].contains(variable("TERM"))
    }

    /// Whether it may show text in other ways than plain (no-color.org).
    package static var isStyled: Bool { isTerminal && variable("NO_COLOR").isEmpty }

    /// Empty where it is not set.
    private static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    private static let clock = ContinuousClock()
    private static let origin = clock.now

    /// Seconds since the first call.
    package static func seconds() -> Double { (clock.now - origin) / .seconds(1) }
}

/// The terminal's width; 80 when it does not say.
private func terminalColumns() -> Int {
    var size = winsize()
    let result = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
    return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
}

/// Writes everything; a reader that went away is no reason to stop training.
private func writeAll(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let count = write(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}
