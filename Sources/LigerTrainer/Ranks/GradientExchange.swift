internal import LigerCollectives
internal import LigerNN
internal import LigerRuntime

/// Sums gradients over ranks while the backward pass goes on.
///
/// The last backward pass of a step says of each gradient when nothing more is added to it. Gradients are collected in that
/// order, which is the same on every rank, and once they are enough bytes their sum is handed to the side queue. From then
/// on they are left alone until that is joined: before they are clipped, and where ranks have parts of the optimiser's
/// state, two buckets later, when the rest of a gradient is freed.
package final class GradientExchange {
    /// Bytes of a bucket: few enough that little is left when the pass ends, enough that NCCL moves them at full speed.
    package static let bucketBytes = 32 << 20
    /// Buckets whose gradients are not yet freed.
    private static let mostInFlight = 2

    private struct Bucket {
        let parameters: [Parameter]
        let work: any SideWork
        let sums: Sums
    }

    /// This rank's parts of sums, once they are handed to the device.
    private final class Sums {
        var parts: [NDArray] = []
    }

    private let ranks: Ranks
    private let parameters: [Parameter]
    /// The elements of each rank, by parameter; empty where every rank updates all.
    private let parts: [ObjectIdentifier: [Range<Int>]]
    private var waiting: [Parameter] = []
    private var waitingBytes = 0
    private var handedIn: Set<ObjectIdentifier> = []
    private var inFlight: [Bucket] = []

    /// - Parameters:
    ///   - parameters: of the same shapes on every rank.
    ///   - parts: the elements that each rank updates; empty where every rank updates all.
    init(
        _ parameters: [Parameter], parts: [(parameter: Parameter, parts: [Range<Int>])], ranks: Ranks
    ) {
        self.ranks = ranks
        self.parameters = parameters
        self.parts = Dictionary(
            uniqueKeysWithValues: parts.map { (ObjectIdentifier($0.parameter), $0.parts) })
    }

    /// Does the last backward pass of a step, and leaves sums over all ranks in the place of gradients: of this rank's
    /// elements alone where ranks have parts.
    ///
    /// - Throws: what the pass and exchanges throw; gradients mean nothing then.
    func during<Result>(_ pass: () throws -> Result) throws -> Result {
        for parameter in parameters {
            parameter.gradientArrived = { [unowned self] in try take($0) }
        }
        defer {
            for parameter in parameters { parameter.gradientArrived = nil }
            (waiting, waitingBytes, handedIn, inFlight) = ([], 0, [], [])
        }
        let result = try pass()
        // What only earlier parts of the step have given a gradient to.
        for parameter in parameters where !handedIn.contains(ObjectIdentifier(parameter)) {
            try take(parameter)
        }
        try handIn()
        while !inFlight.isEmpty { try joinFirst() }
        return result
    }

    private func take(_ parameter: Parameter) throws {
        guard let gradient = parameter.gradient else { return }
        guard handedIn.insert(ObjectIdentifier(parameter)).inserted else {
            throw RuntimeError(
                "\(parameter.name) has a second gradient in one backward pass, and the first is being summed over ranks. "
                    + "Train a model that uses a weight in several blocks without --recompute blocks")
        }
        waiting.append(parameter)
        waitingBytes += gradient.byteCount
        if waitingBytes >= ranks.bucketBytes { try handIn() }
    }

    private func handIn() throws {
        if waiting.isEmpty { return }
        let bucket = waiting
        (waiting, waitingBytes) = ([], 0)
        let gradients = bucket.compactMap(\.gradient)
        let sums = Sums()
        let work: any SideWork
        if parts.isEmpty {
            work = try ranks.aside { try $0.sum(gradients) }
        } else {
            let parted = zip(bucket, gradients).map { parameter, gradient in
                PartedArray(gradient, parts: parts[ObjectIdentifier(parameter)] ?? [])
            }
            work = try ranks.aside { sums.parts = try $0.scatter(parted) }
        }
        inFlight.append(Bucket(parameters: bucket, work: work, sums: sums))
        while !parts.isEmpty, inFlight.count > Self.mostInFlight { try joinFirst() }
    }

    private func joinFirst() throws {
        let bucket = inFlight.removeFirst()
        try bucket.work.join()
        for (parameter, part) in zip(bucket.parameters, bucket.sums.parts) { parameter.gradient = part }
    }
}
