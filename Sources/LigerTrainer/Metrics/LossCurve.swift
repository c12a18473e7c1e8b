/// The losses of a run, drawn as one SVG file that needs nothing else: no script, no font, no style sheet.
///
/// Training losses are drawn thin as they are and bold as a running mean; evaluation losses as dots on a
/// line. Readers that follow the system's dark mode get a dark picture, all others a light one.
package struct LossCurve: Sendable {
    /// A loss after some steps.
    package struct Point: Sendable, Equatable {
        package let step: Int
        package let loss: Double

        package init(step: Int, loss: Double) {
            self.step = step
            self.loss = loss
        }
    }

    package var title: String
    package var subtitle: String
    package var training: [Point]
    package var evaluation: [Point]
    /// The loss of guessing every token equally often, ln(vocabulary); nil leaves its line out.
    package var uniformLoss: Double?
    /// What the upright axis shows.
    package var lossName = "loss (nats per token)"

    /// A curve from the lines of a log.
    package init(title: String, subtitle: String, lines: [MetricsLine], uniformLoss: Double? = nil) {
        self.title = title
        self.subtitle = subtitle
        self.uniformLoss = uniformLoss
        training = lines.compactMap { line in line.loss.map { Point(step: line.step, loss: $0) } }
        evaluation = lines.compactMap { line in line.evaluationLoss.map { Point(step: line.step, loss: $0) } }
    }

    /// Points the picture's width can still show.
    static let mostPoints = 800

    /// Training losses as drawn: finite ones, adjacent ones averaged when there are too many.
    var thinned: [Point] { Self.thinned(training) }

    /// Finite ones, adjacent ones averaged when there are too many.
    static func thinned(_ points: [Point]) -> [Point] {
        let finite = points.filter(\.loss.isFinite)
        let group = (finite.count + Self.mostPoints - 1) / Self.mostPoints
        guard group > 1 else { return finite }
        return stride(from: 0, to: finite.count, by: group).map { start in
            let part = finite[start..<min(start + group, finite.count)]
            let mean = part.reduce(0) { $0 + $1.loss } / Double(part.count)
            return Point(step: part[part.startIndex + part.count / 2].step, loss: mean)
        }
    }

    /// The mean over about a thirtieth of the run around each point, so that it does not lag behind; at the
    /// start the window is narrow on both sides, at the end it reaches back only.
    static func smoothed(_ points: [Point]) -> [Point] {
        let reach = points.count / 60
        return points.indices.map { index in
            let before = min(reach, index)
            let window = points[index - before...min(index + before, points.count - 1)]
            let mean = window.reduce(0) { $0 + $1.loss / Double(window.count) }
            return Point(step: points[index].step, loss: mean)
        }
    }
}
