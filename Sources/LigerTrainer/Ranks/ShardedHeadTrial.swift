internal import Dispatch
internal import LigerCollectives
internal import LigerKernels
internal import LigerLosses
package import LigerRuntime
internal import Synchronization
package import Tile

/// A linear layer with cross entropy on one device, and on several that share its classes: times in turns, and how far
/// losses and gradients are apart. Ranks are threads of this process, a device each.
package struct ShardedHeadTrial: Sendable {
    /// Sizes and storage of the layer.
    package struct Layer: Sendable {
        package var tokens: Int
        package var hidden: Int
        package var classes: Int
        package var dtype: DType

        package init(tokens: Int, hidden: Int, classes: Int, dtype: DType) {
            (self.tokens, self.hidden, self.classes, self.dtype) = (tokens, hidden, classes, dtype)
        }
    }

    /// What it came to.
    package struct Outcome: Sendable {
        /// Of each round, on one device, and on all: that of the slowest.
        package var oneSeconds: [Double] = []
        package var sharedSeconds: [Double] = []
        package var losses: (one: Double, shared: Double) = (0, 0)
        /// Lengths of differences over lengths: of the input's gradient, and of rows of the weight's.
        package var inputError = 0.0
        package var weightError = 0.0
        /// The most bytes that arrays held on the first device in one of the latter rounds, operands too.
        package var peakBytes = 0
    }

    private let layer: Layer
    private let rounds: Int
    /// Rows of the weight's gradient that are compared of each part: the first.
    private static let comparedRows = 1024

    package init(_ layer: Layer, rounds: Int) { (self.layer, self.rounds) = (layer, rounds) }

    /// - Parameter devices: a rank each; at least as many classes.
    /// - Throws: `RuntimeError` when memory runs out, or NCCL is missing or cannot connect the devices.
    package func run(on devices: [Device]) throws -> Outcome {
        precondition(devices.count > 1 && devices.count <= layer.classes, "several ranks with classes each")
        let identifier = try Communicator.makeIdentifier(for: devices[0])
        let queues = devices.indices.map { DispatchQueue(label: "rank \($0)") }
        let group = DispatchGroup()
        let results = Mutex<[Int: Result<Outcome, any Error>]>([:])
        let communicators = Mutex<[Communicator]>([])
        for (rank, queue) in queues.enumerated() {
            queue.async(group: group) {
                let result = Result {
                    let communicator = try Communicator(
                        rank: rank, of: devices.count, identifier: identifier, device: devices[rank])
                    communicators.withLock { $0.append(communicator) }
                    return try run(communicator)
                }
                // Others wait for a rank that fails.
                if case .failure = result { communicators.withLock { for each in $0 { each.abort() } } }
                results.withLock { $0[rank] = result }
            }
        }
        group.wait()
        let outcomes = try results.withLock { found in try devices.indices.compactMap { try found[$0]?.get() }
        }
        var outcome = outcomes[0]
        outcome.sharedSeconds = outcome.sharedSeconds.indices.map { round in
            outcomes.map { $0.sharedSeconds[round] }.max() ?? 0
        }
        outcome.weightError = outcomes.map(\.weightError).max() ?? 0
        return outcome
    }

    /// One rank's work.
    private func run(_ communicator: Communicator) throws -> Outcome {
        let device = communicator.device
        let input = try NDArray(empty: [layer.tokens, layer.hidden], dtype: layer.dtype, device: device)
        let weight = try NDArray(empty: [layer.classes, layer.hidden], dtype: layer.dtype, device: device)
        try RandomFill.normal(input, seed: 1, stream: 1)
        try RandomFill.normal(weight, deviation: 0.02, seed: 1, stream: 2)
        let labels = (0..<layer.tokens).map { Int64($0 * 7919 % layer.classes) }
        let operands = Operands(
            input: input, weight: weight,
            labels: try NDArray(copying: labels, [layer.tokens], dtype: .i64, device: device),
            ranks: CommunicatorRanks(communicator: communicator))
        var outcome = Outcome()
        for round in 0...rounds {
            try operands.meet()
            if communicator.rank == 0 {
                let seconds = try operands.timed { _ = try operands.alone() }
                // The first compiles kernels.
                if round > 0 { outcome.oneSeconds.append(seconds) }
            }
            try operands.meet()
            device.resetPeak()
            let seconds = try operands.timed { _ = try operands.shared() }
            if round > 0 { outcome.sharedSeconds.append(seconds) }
            outcome.peakBytes = device.peakBytes
        }
        try operands.compare(rows: Self.comparedRows, &outcome)
        try operands.meet()
        return outcome
    }
}

/// What a rank works on.
private struct Operands {
    let input: NDArray
    let weight: NDArray
    let labels: NDArray
    let ranks: CommunicatorRanks

    /// This rank's classes.
    var classes: Range<Int> {
        let total = weight.shape[0]
        return ranks.rank * total / ranks.count..<(ranks.rank + 1) * total / ranks.count
    }

    func alone() throws -> (loss: NDArray, dInput: NDArray?, dWeight: NDArray?) {
        let result = try FusedLinearCrossEntropy.forward(
            input: input, weight: weight, labels: labels, needs: [.input, .weight])
        return (result.loss, result.dInput, result.dWeight)
    }

    func shared() throws -> (loss: NDArray, dInput: NDArray?, dWeight: NDArray?) {
        let result = try ShardedLinearCrossEntropy.forward(
            input: input, weight: weight.sliced(0, classes), labels: labels,
            share: ClassShare(ranks: ranks, classes: classes, total: weight.shape[0]))
        try ranks.communicator.sum([result.dInput].compactMap { $0 })
        return (result.loss, result.dInput, result.dWeight)
    }

    /// Waits for all ranks, with their work done.
    func meet() throws {
        let one = try NDArray.zeros([4], device: input.device)
        try ranks.communicator.sum([one])
        try input.device.synchronize()
    }

    func timed(_ body: () throws -> Void) throws -> Double {
        let start = ProgressDisplay.seconds()
        try body()
        try input.device.synchronize()
        return ProgressDisplay.seconds() - start
    }

    func compare(rows: Int, _ outcome: inout ShardedHeadTrial.Outcome) throws {
        let (one, all) = (try alone(), try shared())
        outcome.losses = (try one.loss.hostValues()[0], try all.loss.hostValues()[0])
        func error(_ found: NDArray?, _ expected: NDArray?) throws -> Double {
            guard let found, let expected else { return .infinity }
            let (a, b) = (try found.hostValues(), try expected.hostValues())
            let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            return (difference / b.reduce(0) { $0 + $1 * $1 }).squareRoot()
        }
        let count = min(rows, classes.count)
        outcome.inputError = try error(
            all.dInput?.sliced(0, 0..<min(rows, input.shape[0])),
            one.dInput?.sliced(0, 0..<min(rows, input.shape[0])))
        outcome.weightError = try error(
            all.dWeight?.sliced(0, 0..<count),
            one.dWeight?.sliced(0, classes.lowerBound..<classes.lowerBound + count))
    }
}

/// Ranks that share classes, and tell each other about them through a communicator.
struct CommunicatorRanks: ClassRanks {
    let communicator: Communicator

    var rank: Int { communicator.rank }
    var count: Int { communicator.count }

    func gather(rows: NDArray) throws {
        let each = rows.count / count
        let parts = (0..<count).map { $0 * each..<($0 + 1) * each }
        try communicator.gather([PartedArray(rows, parts: parts)])
    }
}
