/// Times steps that are handed to a device and known to be done only when their results are read.
package struct StepTimer {
    /// Steps between two readings, and the time each took.
    package struct Interval {
        /// When the first step of the interval began.
        package let start: Double
        /// Of one step, on average.
        package let secondsPerStep: Double
    }

    /// Work of a GPU is waited for this often, in seconds: it can be handed more meanwhile.
    static let patience = 0.5

    private var start: Double?
    private var reported = -Double.infinity
    private var isFirst = true
    /// All steps but those of the first interval, in which kernels are compiled.
    package private(set) var steps = 0
    /// Of these steps.
    package private(set) var tokens = 0
    package private(set) var seconds = 0.0

    package init() {}

    /// A step begins.
    package mutating func begin(at now: Double) { start = start ?? now }

    /// Whether results should be read now: after the first step, which is timed for itself, and then now and
    /// again.
    package func isDue(at now: Double) -> Bool { isFirst || now - reported >= Self.patience }

    /// The results of `count` steps, of so many tokens, have been read.
    package mutating func end(_ count: Int, tokens: Int = 0, at now: Double) -> Interval {
        let begun = start ?? now
        if !isFirst {
            steps += count
            self.tokens += tokens
            seconds += now - begun
        }
        (start, reported, isFirst) = (nil, now, false)
        return Interval(start: begun, secondsPerStep: (now - begun) / Double(max(count, 1)))
    }
}
