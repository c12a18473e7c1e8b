import CNCCL
import FakeCUDA
import LigerCollectives
import LigerNN
import LigerRuntime
import LigerTrainer
import TestSupport
import Testing
import Tile

/// A rank of two on a GPU whose kernels do nothing, without the other: what it hands to the GPU and to NCCL.
@Suite(.onFakeGPU) struct ShardedGPUTests {
    /// Exchanges with nobody, and counts.
    private nonisolated(unsafe) static var (sent, groups) = (0, 0)

    private func library() throws -> NCCL {
        let send: NCCLSend = { _, bytes, _, _, _, _ in
            ShardedGPUTests.sent += bytes
            return ncclSuccess
        }
        let receive: NCCLReceive = { _, _, _, _, _, _ in ncclSuccess }
        let begin: NCCLGroupCall = {
            ShardedGPUTests.groups += 1
            return ncclSuccess
        }
        let initialise: NCCLCommInitRank = { communicator, _, _, _ in
            communicator?.pointee = OpaquePointer(bitPattern: 1)
            return ncclSuccess
        }
        return try NCCL(path: "nobody") { name in
            switch name {
            case "ncclSend": unsafeBitCast(send, to: UnsafeMutableRawPointer.self)
            case "ncclRecv": unsafeBitCast(receive, to: UnsafeMutableRawPointer.self)
            case "ncclGroupStart": unsafeBitCast(begin, to: UnsafeMutableRawPointer.self)
            case "ncclGroupEnd":
                unsafeBitCast({ ncclSuccess } as NCCLGroupCall, to: UnsafeMutableRawPointer.self)
            case "ncclCommInitRank": unsafeBitCast(initialise, to: UnsafeMutableRawPointer.self)
            default: host_nccl_symbol(name)
            }
        }
    }

    private func learner(_ change: (inout TrainingOptions) -> Void) throws -> Learner {
        let device = try makeFakeDevice()
        fake.pointee.threads_per_block = 1024
        let communicator = try Communicator(
            rank: 0, of: 2, identifier: Communicator.makeIdentifier(for: .cpu), device: device,
            library: library())
        var team = Team(2) {
            ($0.dtype, $0.batch, $0.sequenceLength, $0.execution.shard) = (.bf16, 2, 64, .all)
            change(&$0)
        }
        let options = team.options
        if let form = options.objective.kind.form {
            team.makeStream = { try $0.batches(of: SmallExamples.file(form), options) }
        }
        return try team.learner(communicator)
    }

    /// Gathers, like all else, are handed over, and a captured step hands over what a step does.
    @Test func graphsHoldGathers() throws {
        let learner = try learner { $0.execution.graph = true }
        let waits = fake.pointee.synchronizations
        var launches: [Int32] = [], groups: [Int] = []
        for _ in 0..<4 {
            let (before, groupsBefore) = (fake.pointee.launches, Self.groups)
            try learner.step()
            launches.append(fake.pointee.launches - before)
            groups.append(Self.groups - groupsBefore)
        }
        #expect(fake.pointee.synchronizations == waits)
        #expect(launches[0] > 50 && Set(launches).count == 1, "\(launches)")
        // Captured once; afterwards the small weights alone are exchanged, outside of the graph.
        #expect(groups[0] == groups[1] && groups[2] < groups[1] / 2 && groups[2] == groups[3], "\(groups)")
        let taken = fake.pointee.allocations
        for _ in 0..<3 { try learner.step() }
        #expect(fake.pointee.allocations == taken)
    }

    /// So are the sums that KTO's loss asks of all ranks, and the numbers that losses are divided by.
    @Test func graphsHoldTheDivergence() throws {
        let learner = try learner { ($0.execution.graph, $0.objective.kind) = (true, .kto) }
        let waits = fake.pointee.synchronizations
        var launches: [Int32] = []
        for _ in 0..<4 {
            let before = fake.pointee.launches
            try learner.step()
            launches.append(fake.pointee.launches - before)
        }
        #expect(fake.pointee.synchronizations == waits)
        #expect(launches[0] > 50 && Set(launches).count == 1, "\(launches)")
        let taken = fake.pointee.allocations
        for _ in 0..<3 { try learner.step() }
        #expect(fake.pointee.allocations == taken)
    }

    /// Forward and backward each send this rank's part of every cut weight once, and gradients the other rank's; the last
    /// block, which the backward pass needs first, and the embedding, which it does not need, are sent once.
    @Test(arguments: [1, 2]) func eachWeightIsGatheredAsOftenAsItIsUsed(accumulate: Int) throws {
        let learner = try learner { $0.accumulate = accumulate }
        try learner.step()
        let places = learner.model.decoder.places
        func bytes(_ range: Range<Int>) -> Int {
            places[range].flatMap(\.parameters).reduce(0) { $0 + ($1.part?.array.byteCount ?? 0) }
        }
        let before = Self.sent
        try learner.step()
        let sent = Self.sent - before
        let blocks = 1..<places.count - 1
        let weights =
            accumulate
            * (bytes(0..<places.count) + bytes(blocks) - bytes(blocks.upperBound - 1..<blocks.upperBound))
        // In fp32, once a step whatever is accumulated: of each parameter what is not this rank's part.
        let all = learner.model.decoder.parameters
        let gradients = all.filter { $0.part != nil }.reduce(0) {
            $0 + 4 * ($1.count - ($1.part?.range.count ?? 0))
        }
        let small = all.filter { $0.part == nil }.reduce(0) { $0 + $1.count }
        // Small gradients, small weights, losses and norms, too.
        #expect(sent >= weights + gradients && sent <= weights + gradients + 6 * small + 4096, "\(sent)")
    }
}
