extension LossCurve {
    /// The picture as text of an SVG file.
    package var svg: String {
        let thin = thinned
        let bold = Self.smoothed(thin)
        let dots = evaluation.filter(\.loss.isFinite)
        let frame = Frame(points: thin + dots, uniformLoss: uniformLoss)
        var body = header
        body += legend(training: bold.last, evaluation: dots.last)
        body += frame.axes(lossName)
        if thin.isEmpty && dots.isEmpty {
            body += SVG.text(
                "no losses yet", x: (Frame.left + Frame.right) / 2, y: 230, "label", anchor: "middle")
        }
        if let uniformLoss { body += frame.level(uniformLoss) }
        body += frame.line(thin, "raw") + frame.line(bold, "train") + frame.line(dots, "eval")
        if dots.count <= 60 { body += dots.map(frame.dot).joined() }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Frame.width)" height="\(Frame.height)" \
            viewBox="0 0 \(Frame.width) \(Frame.height)" role="img">
            <title>\(SVG.escaped(title))</title>
            \(Self.style)
            <rect class="paper" width="\(Frame.width)" height="\(Frame.height)" rx="10"/>
            \(body)</svg>

            """
    }

    private var header: String {
        SVG.text(title, x: 24, y: 36, "title") + SVG.text(subtitle, x: 24, y: 58, "label")
    }

    /// Rows at the upper right: what each line is, and its last value.
    private func legend(training: Point?, evaluation: Point?) -> String {
        var rows: [(style: String, label: String)] = []
        if let training { rows.append(("train", "training \(Format.decimal(training.loss, places: 3))")) }
        if let evaluation {
            rows.append(("eval", "evaluation \(Format.decimal(evaluation.loss, places: 3))"))
        }
        if let uniformLoss {
            rows.append(("level", "uniform guess \(Format.decimal(uniformLoss, places: 3))"))
        }
        return rows.enumerated().map { index, row in
            let y = 28 + 18 * index
            return "<path class=\"\(row.style)\" d=\"M\(Frame.right - 26) \(y - 4)H\(Frame.right)\"/>\n"
                + SVG.text(row.label, x: Double(Frame.right) - 34, y: Double(y), "label", anchor: "end")
        }.joined()
    }

    static let style = """
        <style>
        text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; }
        .paper { fill: #ffffff; }
        .title { font-size: 18px; font-weight: 600; fill: #1f2328; }
        .label { font-size: 13px; fill: #59636e; }
        .tick { font-size: 12px; fill: #59636e; }
        .grid { stroke: #e4e8ec; stroke-width: 1; fill: none; }
        .axis { stroke: #8c959f; stroke-width: 1; fill: none; }
        .raw, .train, .eval, .level { fill: none; stroke-linejoin: round; stroke-linecap: round; }
        .raw { stroke: #0969da; stroke-width: 1; opacity: 0.4; }
        .train { stroke: #0969da; stroke-width: 2.25; }
        .eval { stroke: #bc4c00; stroke-width: 2.25; }
        .level { stroke: #8c959f; stroke-width: 1.5; stroke-dasharray: 5 5; }
        .dot { fill: #bc4c00; stroke: #ffffff; stroke-width: 1.5; }
        @media (prefers-color-scheme: dark) {
        .paper { fill: #0d1117; }
        .title { fill: #f0f6fc; }
        .label, .tick { fill: #9198a1; }
        .grid { stroke: #21262d; }
        .axis, .level { stroke: #656c76; }
        .raw, .train { stroke: #58a6ff; }
        .eval { stroke: #f0883e; }
        .dot { fill: #f0883e; stroke: #0d1117; }
        }
        </style>
        """
}

extension LossCurve {
    /// The plot's area and how steps and losses map into it.
    struct Frame {
        static let width = 880, height = 480
        static let left = 76.0, right = 852.0, top = 96.0, bottom = 424.0

        let steps: AxisTicks
        let losses: AxisTicks
        let lastStep: Double

        init(points: [Point], uniformLoss: Double?) {
            let values = points.map(\.loss) + (uniformLoss.map { [$0] } ?? [])
            lastStep = Double(max(1, points.map(\.step).max() ?? 1))
            steps = AxisTicks(covering: 0, lastStep, count: 8, whole: true)
            losses = AxisTicks(covering: values.min() ?? 0, values.max() ?? 1, count: 6)
        }

        func x(_ step: Double) -> Double { Self.left + (Self.right - Self.left) * step / lastStep }

        func y(_ loss: Double) -> Double {
            let low = losses.values[0]
            let high = losses.values[losses.values.count - 1]
            return Self.bottom - (Self.bottom - Self.top) * (loss - low) / (high - low)
        }

        /// Grid, ticks and the names of both axes.
        func axes(_ lossName: String) -> String {
            var result = ""
            for value in losses.values {
                let y = SVG.coordinate(y(value))
                result +=
                    "<path class=\"grid\" d=\"M\(SVG.coordinate(Self.left)) \(y)H\(SVG.coordinate(Self.right))\"/>\n"
                result += SVG.text(
                    losses.label(value), x: Self.left - 10, y: self.y(value) + 4, "tick", anchor: "end")
            }
            for value in steps.values where value <= lastStep {
                let x = SVG.coordinate(x(value))
                result += "<path class=\"axis\" d=\"M\(x) \(SVG.coordinate(Self.bottom))v5\"/>\n"
                result += SVG.text(
                    steps.label(value), x: self.x(value), y: Self.bottom + 21, "tick", anchor: "middle")
            }
            result += "<path class=\"axis\" d=\"M\(SVG.coordinate(Self.left)) \(SVG.coordinate(Self.bottom))"
            result += "H\(SVG.coordinate(Self.right))\"/>\n"
            let middle = (Self.top + Self.bottom) / 2
            result += SVG.text("step", x: (Self.left + Self.right) / 2, y: 466, "label", anchor: "middle")
            let rotation = "rotate(-90 24 \(SVG.coordinate(middle)))"
            result += SVG.text(lossName, x: 24, y: middle, "label", anchor: "middle", transform: rotation)
            return result
        }

        /// A line through points; a single point becomes a short dash.
        func line(_ points: [Point], _ style: String) -> String {
            guard !points.isEmpty else { return "" }
            let places = points.map { "\(SVG.coordinate(x(Double($0.step)))) \(SVG.coordinate(y($0.loss)))" }
            let path = points.count == 1 ? "M\(places[0])m-6 0h12" : "M" + places.joined(separator: "L")
            return "<path class=\"\(style)\" d=\"\(path)\"/>\n"
        }

        func dot(_ point: Point) -> String {
            let (x, y) = (SVG.coordinate(x(Double(point.step))), SVG.coordinate(y(point.loss)))
            return "<circle class=\"dot\" cx=\"\(x)\" cy=\"\(y)\" r=\"4\"/>\n"
        }

        /// A dashed line across the plot.
        func level(_ loss: Double) -> String {
            "<path class=\"level\" d=\"M\(SVG.coordinate(Self.left)) \(SVG.coordinate(y(loss)))H\(SVG.coordinate(Self.right))\"/>\n"
        }
    }
}
