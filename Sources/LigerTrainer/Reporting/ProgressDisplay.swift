/// Shows how training goes: one redrawn line on a terminal, plain lines elsewhere, JSON objects on request.
package final class ProgressDisplay {
    /// How progress is shown.
    package enum Style: Sendable {
        /// One line, redrawn; `columns` asks for the terminal's width each time.
        case terminal(columns: @Sendable () -> Int)
        /// A line every so many steps, and at the first and the last.
        case plain(every: Int)
        /// One JSON object per line for every step and evaluation, and nothing else on standard output.
        case json
    }

    /// Where text goes: standard output for results, standard error with --json.
    package struct Output {
        package let write: (String) -> Void
        let writeBeside: (String) -> Void
        /// Whether a terminal there may show text dim.
        let isStyled: Bool

        package init(
            isStyled: Bool = true, write: @escaping (String) -> Void, writeBeside: @escaping (String) -> Void
        ) {
            self.isStyled = isStyled
            self.write = write
            self.writeBeside = writeBeside
        }
    }

    private let style: Style
    private let output: Output
    private let totalSteps: Int
    private let firstStep: Int
    private let now: () -> Double
    private let start: Double
    private var lastDrawn = -Double.infinity
    private var bar = ""

    /// - Parameters:
    ///   - totalSteps: steps of the whole run.
    ///   - resumedAt: steps done before this process began.
    ///   - now: seconds on a clock that only moves forward.
    package init(
        style: Style, totalSteps: Int, resumedAt: Int = 0, output: Output = .standard,
        now: @escaping () -> Double = ProgressDisplay.seconds
    ) {
        self.style = style
        self.output = output
        self.totalSteps = totalSteps
        self.firstStep = resumedAt
        self.now = now
        start = now()
    }

    /// Shows a step or an evaluation.
    package func update(_ line: MetricsLine) {
        switch style {
        case .json: output.write(line.json + "\n")
        case .terminal(let columns):
            if line.evaluationLoss != nil {
                note((["step \(Format.integer(line.step))"] + evaluationFields(line)).joined(separator: "  "))
            } else if now() - lastDrawn >= 0.1 || line.step == totalSteps {
                lastDrawn = now()
                draw(barLine(line, columns: columns()))
            }
        case .plain(let every):
            if line.evaluationLoss != nil || line.step == firstStep + 1 || line.step == totalSteps
                || line.step % every == 0
            {
                output.write(plainLine(line) + "\n")
            }
        }
    }

    /// Says something between two steps, above the redrawn line; on standard error with --json.
    package func note(_ text: String) {
        switch style {
        case .json: output.writeBeside(text + "\n")
        case .plain: output.write(text + "\n")
        case .terminal:
            let bar = self.bar
            output.write("\r\(Self.clearLine)\(text)\n\(bar)")
        }
    }

    /// Shows an example before the first step; on standard output with --json, as an object.
    package func show(_ sample: ExampleSample) {
        switch style {
        case .json: output.write(sample.json + "\n")
        case .terminal: note(sample.lines(isTerminal: output.isStyled))
        case .plain: note(sample.lines(isTerminal: false))
        }
        if let warning = sample.warning { note(warning) }
    }

    /// Shows what the run computes again.
    func plan(_ planned: PlannedRecomputation, _ lines: [String]) {
        if case .json = style { return output.write(planned.json + "\n") }
        for line in lines { note(line) }
    }

    /// Shows what the run came to.
    package func summarise(_ summary: RunSummary) {
        if case .json = style { return output.write(summary.json + "\n") }
        for line in summary.lines { note(line) }
    }

    /// Leaves the redrawn line as it stands and goes on below it.
    package func finish() {
        if !bar.isEmpty { output.write("\n") }
        bar = ""
    }

    private static let clearLine = "\u{1B}[K"

    private func draw(_ text: String) {
        bar = text
        output.write("\r\(text)\(Self.clearLine)")
    }

    /// As much of bar, step, loss, speed, memory and time left as the width holds, in this order of need.
    private func barLine(_ line: MetricsLine, columns: Int) -> String {
        let share = Double(line.step) / Double(max(1, totalSteps))
        let percent = Format.percent(share)
        let space = String(repeating: " ", count: max(0, 4 - percent.count))
        let position = "\(Format.integer(line.step))/\(Format.integer(totalSteps))"
        var text = "\(space)\(percent) \(position)"
        // The last column stays empty: some terminals wrap there.
        let width = columns - 1
        for field in fields(line) where text.count + 2 + field.count <= width { text += "  " + field }
        let barWidth = min(30, width - text.count - 1)
        if barWidth < 6 { return String(text.prefix(max(0, width))) }
        let done = Int(min(1, share) * Double(barWidth))
        let bar = String(repeating: "━", count: done) + String(repeating: "─", count: barWidth - done)
        return "\(space)\(percent) \(bar) " + text.dropFirst(5)
    }

    private func plainLine(_ line: MetricsLine) -> String {
        let step = "step \(Format.integer(line.step))/\(Format.integer(totalSteps))"
        let fields = line.evaluationLoss == nil ? fields(line) : evaluationFields(line)
        return ([step] + fields).joined(separator: "  ")
    }

    private func evaluationFields(_ line: MetricsLine) -> [String] {
        let loss = line.evaluationLoss.map { ["evaluation loss \(Self.loss($0))"] } ?? []
        return loss + figures(line)
    }

    private func figures(_ line: MetricsLine) -> [String] {
        Figure.allCases.compactMap { figure in line.figures[figure].map(figure.shown) }
    }

    private func fields(_ line: MetricsLine) -> [String] {
        var fields: [String] = []
        if let loss = line.loss { fields.append("loss \(Self.loss(loss))") }
        fields += figures(line)
        if let speed = line.tokensPerSecond { fields.append("\(Format.decimal(speed, places: 0)) tokens/s") }
        if let left = secondsLeft(after: line.step) {
            fields.append("\(Format.duration(seconds: left)) left")
        }
        if let memory = line.deviceBytes ?? line.memoryBytes { fields.append(Format.bytes(memory)) }
        return fields
    }

    /// At the mean speed of this process's steps so far.
    private func secondsLeft(after step: Int) -> Double? {
        let done = step - firstStep
        guard done > 0, step < totalSteps else { return nil }
        return (now() - start) / Double(done) * Double(totalSteps - step)
    }

    private static func loss(_ value: Double) -> String { Format.decimal(value, places: 4) }
}
