extension RunCurves {
    /// The picture as text of an SVG file that needs nothing else, in the colours of the reader's system.
    ///
    /// A panel for each quantity that any run has, below each other, over the same steps.
    package var svg: String {
        let drawn = Quantity.all.map { quantity in (quantity.title, runs.map(quantity.points)) }
            .filter { $0.1.contains { !$0.isEmpty } }
        let lastStep = Double(max(1, runs.compactMap { $0.lines.last?.step }.max() ?? 1))
        var body = legend
        for (index, (title, curves)) in drawn.enumerated() {
            let top = Panel.firstTop(runs.count) + Double(index) * Panel.pitch
            body += Panel(title: title, top: top, curves: curves, lastStep: lastStep).svg
        }
        let end = Panel.firstTop(runs.count) + Double(drawn.count) * Panel.pitch
        let height = Int(end + 10)
        body += SVG.text(
            drawn.isEmpty ? "no metrics yet" : "step", x: (Panel.left + Panel.right) / 2, y: end - 10,
            "label",
            anchor: "middle")
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Panel.width)" height="\(height)" \
            viewBox="0 0 \(Panel.width) \(height)" role="img">
            <title>\(SVG.escaped(runs.map(\.name).joined(separator: ", ")))</title>
            \(LossCurve.style)
            \(Self.style)
            <rect class="paper" width="\(Panel.width)" height="\(height)" rx="10"/>
            \(body)</svg>

            """
    }

    private var legend: String {
        runs.enumerated().map { index, run in
            let y = 32 + 20 * Double(index)
            let results = [
                run.lastLoss.map { "loss \(Format.decimal($0, places: 3))" },
                run.best.map {
                    "best evaluation \(Format.decimal($0.loss, places: 3)) at step \(Format.integer($0.step))"
                },
                run.speed.map { "\(Format.decimal($0, places: 0)) tokens/s" },
            ].compactMap(\.self).joined(separator: ", ")
            return "<path class=\"run r\(index)\" d=\"M24 \(SVG.coordinate(y - 4))h28\"/>\n"
                + SVG.text("\(run.name): \(results)", x: 62, y: y, "label")
        }.joined()
    }

    /// Colours that differ in lightness too, for those who do not tell all hues apart.
    private static let style: String = {
        let light = ["0969da", "bc4c00", "1a7f37", "8250df", "9a6700", "bf3989", "57606a", "0b7285"]
        let dark = ["58a6ff", "f0883e", "3fb950", "bc8cff", "d29922", "f778ba", "9198a1", "3bc9db"]
        func rules(_ colours: [String]) -> String {
            colours.enumerated().map { ".r\($0) { stroke: #\($1); }\n.f\($0) { fill: #\($1); }\n" }.joined()
        }
        return """
            <style>
            .run { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
            \(rules(light))@media (prefers-color-scheme: dark) {
            \(rules(dark))}
            </style>
            """
    }()
}

/// A quantity of all runs over their steps.
private struct Panel {
    static let width = 880, left = 76.0, right = 852.0
    static let height = 170.0, pitch = 232.0

    static func firstTop(_ runs: Int) -> Double { 72 + 20 * Double(runs) }

    let title: String
    let top: Double
    let curves: [[LossCurve.Point]]
    let lastStep: Double

    private var bottom: Double { top + Self.height }

    var svg: String {
        let values = curves.flatMap { $0.map(\.loss) }
        let ticks = AxisTicks(covering: values.min() ?? 0, values.max() ?? 1, count: 4)
        let low = ticks.values[0], high = ticks.values[ticks.values.count - 1]
        func y(_ value: Double) -> Double { bottom - Self.height * (value - low) / (high - low) }
        return axes(ticks, y)
            + curves.enumerated().map { index, points in line(points, index, y) }.joined()
    }

    private func x(_ step: Double) -> Double { Self.left + (Self.right - Self.left) * step / lastStep }

    private func axes(_ ticks: AxisTicks, _ y: (Double) -> Double) -> String {
        var result = SVG.text(title, x: 24, y: top - 16, "label")
        for value in ticks.values {
            let place = y(value)
            result +=
                "<path class=\"grid\" d=\"M\(SVG.coordinate(Self.left)) \(SVG.coordinate(place))"
                + "H\(SVG.coordinate(Self.right))\"/>\n"
            result += SVG.text(ticks.label(value), x: Self.left - 10, y: place + 4, "tick", anchor: "end")
        }
        let steps = AxisTicks(covering: 0, lastStep, count: 8, whole: true)
        for value in steps.values where value <= lastStep {
            let place = x(value)
            result += "<path class=\"axis\" d=\"M\(SVG.coordinate(place)) \(SVG.coordinate(bottom))v5\"/>\n"
            result += SVG.text(steps.label(value), x: place, y: bottom + 21, "tick", anchor: "middle")
        }
        return result
    }

    private func line(_ points: [LossCurve.Point], _ index: Int, _ y: (Double) -> Double) -> String {
        let places = points.map { "\(SVG.coordinate(x(Double($0.step)))) \(SVG.coordinate(y($0.loss)))" }
        guard let first = places.first else { return "" }
        let path = places.count == 1 ? "M\(first)m-6 0h12" : "M" + places.joined(separator: "L")
        return "<path class=\"run r\(index)\" d=\"\(path)\"/>\n"
    }
}
