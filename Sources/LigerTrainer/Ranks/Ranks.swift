package import LigerCollectives
internal import LigerRuntime
internal import Platform

/// The processes of a run, of which each has its own GPU and its share of each batch.
///
/// A run of one process is `alone`, where all of this costs nothing. Else every rank makes the same calls in the same
/// order. Arrays are exchanged by a `Communicator`; what concerns the processes themselves goes by messages to rank 0
/// and from there to all.
package final class Ranks {
    /// This process, from 0.
    package let rank: Int
    /// How many there are.
    package let count: Int
    private let localRank: Int
    private let watch: RankWatch?
    private let members: [RankMeeting.Member]
    private var communicator: Communicator?
    /// Where exchanges are handed in.
    private var queue: (any SideQueue)?
    /// Of gradients that are summed together while the backward pass goes on.
    let bucketBytes: Int

    /// One process.
    package static var alone: Ranks { Ranks() }

    /// Ranks that exchange arrays and nothing else: they neither send messages nor watch each other.
    ///
    /// - Parameters:
    ///   - queue: nil for the device's own.
    ///   - bucketBytes: of gradients that are summed together.
    package init(
        _ communicator: Communicator, queue: (any SideQueue)? = nil,
        bucketBytes: Int = GradientExchange.bucketBytes
    ) throws {
        (rank, count, localRank, watch, members) = (communicator.rank, communicator.count, 0, nil, [])
        self.bucketBytes = bucketBytes
        self.communicator = communicator
        self.queue = try queue ?? communicator.device.makeSideQueue()
    }

    private init() {
        (rank, count, localRank, watch, members) = (0, 1, 0, nil, [])
        bucketBytes = GradientExchange.bucketBytes
    }

    /// Meets the others.
    ///
    /// - Throws: `TrainerError` (`ranksUnusable`) if they do not come within a minute.
    private init(_ place: RankPlace) throws {
        let outcome = try RankMeeting(place).hold()
        (rank, count, localRank, members) = (place.rank, place.count, place.localRank, outcome.members)
        watch = RankWatch(outcome, launcher: place.launcher)
        bucketBytes = GradientExchange.bucketBytes
    }

    /// Those that a launcher started together with this process, once all are there; else `alone`.
    ///
    /// - Throws: `TrainerError`: `ranksUnusable` if they do not come within a minute, `invalidOptions` if the options
    ///   do not go with so many.
    package static func join(_ options: TrainingOptions) throws -> Ranks {
        guard let place = try RankPlace(ProcessInfo.processInfo.environment, out: options.out) else {
            return .alone
        }
        try options.validate(ranks: place.count)
        return try Ranks(place)
    }

    /// Whether this is the one that writes.
    package var isFirst: Bool { rank == 0 }

    /// The GPU of this rank, or the processor.
    func device(_ options: TrainingOptions) throws -> Device {
        guard count > 1, options.device != .cpu else { return try options.device.open() }
        // A scheduler may show each process its own GPU alone.
        let kind = options.device.kind
        let seen = Device.available.count { $0.name.hasPrefix(kind + ":") }
        return try .named("\(kind):\(seen == 1 ? 0 : localRank)")
    }

    /// What moves arrays between ranks, once they are connected: "NCCL 2.27.3".
    var exchange: String { communicator?.description ?? "nothing" }

    // MARK: Messages

    /// What rank 0 has to say, known to all.
    ///
    /// - Parameter value: asked of rank 0 alone.
    func told<Value: Codable>(_ value: () throws -> Value) throws -> Value {
        guard let watch else { return try value() }
        if isFirst {
            let value = try value()
            for other in 1..<count { watch.send(RankMeeting.encode(value), to: other) }
            return value
        }
        return try decoded(watch.message(from: 0))
    }

    /// What each rank has to say, in their order, known to rank 0; nothing on the others.
    private func gathered<Value: Codable>(_ value: Value) throws -> [Value] {
        guard let watch else { return [value] }
        if !isFirst {
            watch.send(RankMeeting.encode(value), to: 0)
            return []
        }
        return try [value] + (1..<count).map { try decoded(watch.message(from: $0)) }
    }

    private func decoded<Value: Decodable>(_ bytes: [UInt8]) throws -> Value {
        if let value = RankMeeting.decode(Value.self, bytes) { return value }
        throw TrainerError(
            .ranksUnusable, "Ranks do not understand each other.", remedy: "Start all by one command.")
    }

    /// The first signal to stop that any rank got, known to all: they stop after the same step.
    func agreed(onStopping signal: Int32?) throws -> Int32? {
        guard count > 1 else { return signal }
        let signals = try gathered(signal ?? 0)
        let first = try told { signals.first { $0 != 0 } ?? 0 }
        return first == 0 ? nil : first
    }

    /// Finds out whether all ranks do the same work: before the first step, and before anything is written.
    ///
    /// - Throws: `TrainerError` (`ranksDiffer`) with every difference.
    func compare(_ record: RankRecord) throws {
        guard count > 1 else { return }
        let records = try gathered(record)
        let problem: String = try told {
            zip(members, records).flatMap { member, other in
                other.differences(from: record).map { "  \(member.name): \($0)\n" }
            }.joined()
        }
        if problem.isEmpty { return }
        throw TrainerError(
            .ranksDiffer, "Ranks would not do the same as rank 0:\n" + problem,
            remedy: "Start all by one command, with the same program and the same files.")
    }

    /// Numbers of the host, each added up over all ranks in their order.
    func sum(_ numbers: [Double]) throws -> [Double] {
        guard count > 1 else { return numbers }
        let all = try gathered(numbers)
        return try told { numbers.indices.map { place in all.reduce(0) { $0 + $1[place] } } }
    }

    // MARK: Arrays

    /// Opens the way for arrays between all ranks' devices.
    ///
    /// - Throws: `RuntimeError` if NCCL is missing, too old, or cannot connect them.
    func connect(on device: Device) throws {
        guard let watch else { return }
        // Who meets an error before this is waited for here, where it is told of, and not by NCCL.
        _ = try agreed(onStopping: nil)
        let identifier = try told { try Communicator.makeIdentifier(for: device) }
        let communicator = try Communicator(rank: rank, of: count, identifier: identifier, device: device)
        self.communicator = communicator
        queue = try device.makeSideQueue()
        watch.protect { communicator.abort() }
    }

    /// Hands an exchange in beside the device's other work. Its arrays must be left alone until it is joined.
    func aside(_ exchange: @escaping (Communicator) throws -> Void) throws -> any SideWork {
        guard let communicator, let queue else {
            preconditionFailure("ranks exchange once they are connected")
        }
        let work = try explained { try queue.run { try exchange(communicator) } }
        return ExplainedWork(work: work, ranks: self)
    }

    /// Does an exchange in its turn.
    private func inTurn(_ exchange: @escaping (Communicator) throws -> Void) throws {
        if count > 1 { try aside(exchange).join() }
    }

    /// Replaces each array by its sum over all ranks.
    func sum(_ arrays: [NDArray]) throws { try inTurn { try $0.sum(arrays) } }

    /// This rank's parts of the sums over all ranks.
    func scatter(_ arrays: [PartedArray]) throws -> [NDArray] {
        var parts: [NDArray] = []
        try inTurn { parts = try $0.scatter(arrays) }
        return parts
    }

    /// Gives all ranks each other's parts of arrays.
    func gather(_ arrays: [PartedArray]) throws { try inTurn { try $0.gather(arrays) } }

    private struct ExplainedWork: SideWork {
        let work: any SideWork
        let ranks: Ranks

        func join() throws { try ranks.explained { try work.join() } }
    }

    private func explained<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch { throw cause(of: error) }
    }

    /// Throws if the run has failed on another rank, or an exchange has: what was computed since means nothing.
    func check() throws {
        guard let communicator else { return }
        if let failure = watch?.failure { throw RankWatch.error(failure) }
        do { try communicator.check() } catch { throw cause(of: error) }
    }

    /// Waits until all ranks have come here, with their devices' work done: until then others may read their memory.
    package func settle() throws {
        guard count > 1 else { return }
        try communicator?.device.synchronize()
        try check()
        _ = try agreed(onStopping: nil)
    }

    // MARK: Ends

    /// An error of this rank as it is thrown on: what another rank's end brought about says so. The others hear of it.
    package func report(_ error: any Error) -> any Error {
        guard let watch, members.indices.contains(rank) else { return error }
        if let failure = watch.failure {
            watch.leave()
            return RankWatch.error(failure)
        }
        watch.report("R" + members[rank].name.dropFirst() + " met an error: \(error)")
        return isFirst ? error : RankError(rank: rank, error: error)
    }

    /// Says to the others that this rank is done.
    func leave() { watch?.leave() }

    /// An exchange fails when another rank ends: that comes to be known a moment later.
    private func cause(of error: any Error) -> any Error {
        if watch == nil { return error }
        let end = ProgressDisplay.seconds() + 3
        while ProgressDisplay.seconds() < end {
            if let failure = watch?.failure { return RankWatch.error(failure) }
            usleep(20_000)
        }
        return error
    }
}

/// An error of a rank that is not the first.
struct RankError: Error, CustomStringConvertible {
    let rank: Int
    let error: any Error

    var description: String { "rank \(rank): \(error)" }
}
