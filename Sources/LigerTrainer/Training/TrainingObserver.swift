/// Who looks at a run from code: gets its metrics, and decides what it shows.
public struct TrainingObserver {
    /// Whether the run writes what the command writes, to standard output and standard error.
    public var showsProgress: Bool
    /// Gets each line of metrics.jsonl once it is on file, in the order of the steps: of rank 0, on the thread that trains.
    /// What it throws ends the run without a checkpoint, and `train` throws it.
    public var onMetrics: ((MetricsLine) throws -> Void)?

    /// - Parameters:
    ///   - showsProgress: false for a run in silence.
    ///   - onMetrics: gets the metrics; nil for nobody.
    public init(showsProgress: Bool = true, onMetrics: ((MetricsLine) throws -> Void)? = nil) {
        self.showsProgress = showsProgress
        self.onMetrics = onMetrics
    }
}
