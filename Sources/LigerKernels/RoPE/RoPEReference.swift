import Platform

extension RoPE {
    /// The formula in Double for one head: what the kernel is checked against. A pair is a complex number,
    /// times e^(i angle).
    package enum Reference {
        package static func apply(_ head: [Double], position: Int, frequencies: [Double]) -> [Double] {
            var y = head
            let half = frequencies.count
            for (i, frequency) in frequencies.enumerated() {
                let angle = Double(position) * frequency
                let length = hypot(head[i], head[i + half])
                let direction = atan2(head[i + half], head[i]) + angle
                (y[i], y[i + half]) = (length * cos(direction), length * sin(direction))
            }
            return y
        }
    }
}
