/// Shows how far data has been made tokens: one redrawn line on a terminal, elsewhere a line now and then.
final class DataProgress {
    private let output: ProgressDisplay.Output
    private let style: ProgressDisplay.Style
    private let now: () -> Double
    private var total = 0
    private var start = 0.0
    private var lastShown = 0.0
    private var isDrawn = false

    init(
        style: ProgressDisplay.Style, output: ProgressDisplay.Output,
        now: @escaping () -> Double = ProgressDisplay.seconds
    ) {
        (self.style, self.output, self.now) = (style, output, now)
    }

    /// What shows nothing.
    static var silent: DataProgress { DataProgress(style: .json, output: .none) }

    /// Begins with data of so many bytes.
    func begin(total: Int) {
        self.total = total
        start = now()
        lastShown = start
    }

    /// Shows that some bytes are done, not more often than people can read.
    func update(_ done: Int) {
        let time = now()
        switch style {
        case .terminal(let columns):
            guard time - lastShown >= 0.2 else { return }
            isDrawn = true
            output.write("\r\(line(done, at: time).prefix(max(0, columns() - 1)))\u{1B}[K")
        case .plain:
            guard time - lastShown >= 10 else { return }
            output.write(line(done, at: time) + "\n")
        case .json:
            guard time - lastShown >= 10 else { return }
            output.writeBeside(line(done, at: time) + "\n")
        }
        lastShown = time
    }

    /// Takes the redrawn line away.
    func end() {
        if isDrawn { output.write("\r\u{1B}[K") }
        isDrawn = false
    }

    /// Says something, above the redrawn line.
    func note(_ text: String) {
        end()
        if case .json = style { return output.writeBeside(text + "\n") }
        output.write(text + "\n")
    }

    private func line(_ done: Int, at time: Double) -> String {
        let share = Double(done) / Double(max(1, total)), seconds = time - start
        let left = seconds / max(share, 1e-9) - seconds
        return "tokens  \(Format.percent(share)) of \(Format.bytes(total))  "
            + "\(Format.decimal(Double(done) / max(seconds, 1e-9) / 1e6, places: 1)) MB/s  "
            + "\(Format.duration(seconds: max(0, left))) left"
    }
}
