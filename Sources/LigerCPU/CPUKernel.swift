import LigerArrays
import Tile
import TileCPU

/// A kernel as the processor runs it.
final class CPUKernel: LoadedKernel {
    let signature: KernelSignature
    private let plan: Plan

    init(_ plan: Plan, _ signature: KernelSignature) {
        self.plan = plan
        self.signature = signature
    }

    func launch(programs: Int, _ views: [MemoryView], _ scalars: [LaunchScalar]) throws {
        let elements = views.reduce(0) { $0 + $1.shape.reduce(1, *) }
        let isSmall = elements < 16_384
        try plan.run(
            programs: programs, arrays: views, scalars: scalars.map(\.constant),
            tasks: isSmall ? 1 : 4 * ThreadPool.shared.threadCount
        ) { count, body in
            ThreadPool.shared.forEach(count, body)
        }
        signature.counter.increment()
    }

    func prepared(
        programs: Int, _ arrays: [PlacedArray], _ scalars: [LaunchScalar]
    ) -> any PreparedStep {
        PreparedLaunch(kernel: self, programs: programs, arrays: arrays, scalars: scalars)
    }

    private struct PreparedLaunch: PreparedStep {
        let kernel: CPUKernel
        let programs: Int
        let arrays: [PlacedArray]
        let scalars: [LaunchScalar]

        func run(_ addresses: UnsafePointer<UInt>, stream: UInt) throws {
            try kernel.launch(programs: programs, arrays.map { $0.view(addresses) }, scalars)
        }
    }
}
