import Foundation
import LigerCollectives
import LigerModels
import LigerNN
import LigerRuntime
import LigerTrainer
import Synchronization
import TestSupport
import Tile

/// Ranks that are threads of this process and train together, each on a device of its own.
struct Team {
    /// What a rank came to.
    struct Outcome: Sendable {
        /// Bytes of each parameter, or of what the rank keeps of it.
        var weights: [Data] = []
        /// Where among a parameter's bytes these are.
        var ranges: [Range<Int>] = []
        /// Losses and norms of each step.
        var numbers: [Double] = []
        /// What the objective says of each step.
        var figures: [[Figure: Double]] = []
        /// This rank's part of the loss of what is kept for evaluation; nil where nothing is.
        var evaluation: Double?
        /// Bytes of optimizer.safetensors, and of the model's weights, on rank 0.
        var state = Data()
        var model = Data()
        var stateBytes = 0
        var peakBytes = 0
    }

    let count: Int
    let options: TrainingOptions
    var bucketBytes = 100_000
    var isDelayed = false
    /// A checkpoint to go on from, and one to write.
    var start: RunCheckpoint?
    var target: String?
    /// What deals out batches; nil for a text.
    var makeStream: (@Sendable (TrainingModel) throws -> any BatchStream)?
    /// Whether rank 0 writes once more without the others, into the folder `alone`.
    var writesAlone = false

    /// Options of a run of the preset `tiny`, whose larger parameters are cut.
    init(
        _ count: Int, bucketBytes: Int = 100_000, isDelayed: Bool = false,
        _ change: (inout TrainingOptions) -> Void = { _ in }
    ) {
        var options = TrainingOptions()
        options.model = "tiny"
        (options.batch, options.sequenceLength, options.evaluationFraction) = (6, 8, 0)
        (options.warmup, options.learningRate) = (0, 5e-3)
        change(&options)
        (self.count, self.options, self.bucketBytes, self.isDelayed) = (
            count, options, bucketBytes, isDelayed
        )
    }

    /// Does steps on all ranks.
    func train(steps: Int) throws -> [Outcome] {
        let identifier = try Communicator.makeIdentifier(for: .cpu)
        let communicators = Mutex<[Communicator]>([]), writers = WritingTeam(count)
        return try onThreads(count) { rank in
            let device = Device(name: "rank \(rank)")
            // A device keeps memory for reuse as long as the process lives.
            defer { device.releaseCache() }
            let communicator = try Communicator(
                rank: rank, of: count, identifier: identifier, device: device)
            communicators.withLock { $0.append(communicator) }
            do {
                return try train(communicator, steps: steps, writers.member(rank))
            } catch {
                writers.fail(error)
                // Or the others would wait for this rank for ever.
                for other in communicators.withLock({ $0 }) { other.abort() }
                throw error
            }
        }
    }

    func learner(_ communicator: Communicator) throws -> Learner {
        let model = try TrainingModel(ModelDescription(options), options, device: communicator.device)
        let stream = try makeStream?(model) ?? text()
        let ranks = try Ranks(
            communicator, queue: isDelayed ? DelayedQueue() : nil, bucketBytes: bucketBytes)
        return try Learner(model, stream: stream, options: options, ranks: ranks)
    }

    private func text() throws -> any BatchStream {
        try TokenStream(
            tokens: (0..<4000).map { Int32($0 * ($0 + 7) % 251) }, sequenceLength: options.sequenceLength,
            batchSize: options.batch, accumulation: options.accumulate, evaluationFraction: 0, seed: 1)
    }

    private func train(
        _ communicator: Communicator, steps: Int, _ writer: WritingTeam.Member
    ) throws -> Outcome {
        let learner = try learner(communicator)
        if let start { try TrainingState.read(start, into: learner) }
        var outcome = Outcome()
        for _ in 0..<steps {
            try learner.step()
            try learner.takeResults {
                outcome.numbers += [$0.loss, $0.gradientNorm]
                outcome.figures.append(learner.figures(of: $0))
            }
        }
        if learner.stream.evaluationBatches > 0 { outcome.evaluation = try learner.evaluate().loss }
        outcome.peakBytes = communicator.device.peakBytes
        for parameter in learner.model.decoder.trainedParameters {
            let (range, each) = (parameter.part?.range ?? 0..<parameter.count, parameter.dtype.byteCount)
            outcome.weights.append(try (parameter.part?.array ?? parameter.value).bytes())
            outcome.ranges.append(range.lowerBound * each..<range.upperBound * each)
        }
        outcome.stateBytes = learner.stateBytes
        guard let target else { return outcome }
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        try TrainingState.writeCheckpoint(
            learner, into: target, with: RankWriter(ranks: learner.ranks, file: writer))
        if communicator.rank == 0 {
            outcome.state = Data(try FileSystem.read("\(target)/optimizer.safetensors"))
            let names = ["model.safetensors", "adapter_model.safetensors"].map { "\(target)/\($0)" }
            for name in names where FileSystem.byteCount(of: name) != nil {
                outcome.model.append(contentsOf: try FileSystem.read(name))
            }
            if writesAlone, options.execution.shard == .none {
                try FileManager.default.createDirectory(
                    atPath: "\(target)/alone", withIntermediateDirectories: true)
                try TrainingState.writeCheckpoint(learner, into: "\(target)/alone", with: LoneWriter())
            }
        }
        return outcome
    }
}

/// A rank's shares, in files that threads write.
private struct RankWriter: FileTeam {
    let ranks: Ranks
    let file: WritingTeam.Member

    var isFirst: Bool { file.isFirst }
    func told(path: () -> String) throws -> String { try file.told(path: path) }
    func share(of elements: Range<Int>) -> Range<Int> { ranks.share(of: elements) }
    func settle() throws { try file.settle() }
}

/// Does work only once it, or what was handed in after it, is joined: what a GPU's second stream may do.
final class DelayedQueue: SideQueue {
    private var waiting: [() throws -> Void] = []
    private var done = 0

    func run(_ work: @escaping () throws -> Void) throws -> any SideWork {
        waiting.append(work)
        return Delayed(queue: self, end: done + waiting.count)
    }

    private struct Delayed: SideWork {
        let queue: DelayedQueue
        let end: Int

        func join() throws {
            while queue.done < end {
                queue.done += 1
                try queue.waiting.removeFirst()()
            }
        }
    }
}

extension NDArray {
    fileprivate func bytes() throws -> Data {
        var bytes = Data(count: byteCount)
        try bytes.withUnsafeMutableBytes { try flattened.read(into: $0) }
        return bytes
    }
}
