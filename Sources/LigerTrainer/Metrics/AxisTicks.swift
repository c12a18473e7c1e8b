internal import Platform

/// Round values along an axis: multiples of 1, 2 or 5 times a power of ten.
package struct AxisTicks: Sendable, Equatable {
    /// The values, ascending, each a multiple of `step`.
    package let values: [Double]
    /// The distance between two of them.
    package let step: Double

    /// Ticks that cover lower...upper: the first is at or below `lower`, the last at or above `upper`.
    /// - Parameters:
    ///   - count: about how many intervals; between half and twice as many come out.
    ///   - whole: whether only whole numbers make sense.
    package init(covering lower: Double, _ upper: Double, count: Int, whole: Bool = false) {
        precondition(lower.isFinite && upper.isFinite && lower <= upper && count > 0, "no such axis")
        // A flat line still needs an axis with some height, and lies in its middle. So does one whose ticks
        // would be closer than a Double can tell apart.
        let isFlat = upper - lower <= 1e-9 * max(abs(lower), abs(upper))
        let margin = !isFlat ? 0 : whole ? 1 : max(abs(lower) * 0.05, 1e-3)
        let (lower, upper) = (lower - margin, upper + margin)
        let span = upper - lower
        let rough = span / Double(count)
        let power = pow(10, floor(log10(rough)))
        let factor = [1, 2, 5, 10].first { $0 * power >= rough * 0.999 } ?? 10
        step = whole ? max(1, factor * power) : factor * power
        let first = floor(lower / step + 1e-9)
        var last = ceil(upper / step - 1e-9)
        if last <= first { last = first + 1 }
        let step = self.step
        values = (0...Int(last - first)).map { (first + Double($0)) * step }
    }

    /// A tick's text, with as many decimals as the step needs.
    package func label(_ value: Double) -> String {
        if step < 1e-6 || values.contains(where: { abs($0) >= 1e9 }) { return Format.significant(value) }
        return Format.decimal(value, places: max(0, Int(ceil(-log10(step) - 1e-9))))
    }
}
