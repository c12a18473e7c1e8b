package import LigerRuntime
import Synchronization
package import Tile
package import TileGPU

/// What one launch of a kernel took.
package struct KernelTime: Sendable {
    package let kernel: String
    package let programs: Int
    package let schedule: GPUSchedule
    package let key: TuningKey
    package let milliseconds: Float
    /// Milliseconds under the schedule of the rule.
    package let byRule: Float
    package let bytes: Int
    /// Schedules tried, and how many could not run.
    package let tried: Int
    package let failed: Int
}

/// Times every kernel that a workload launches, or some of them, alone and with cold caches; where asked, under every
/// candidate schedule.
package final class KernelTuner: LaunchObserver {
    private let flush: NDArray
    private let capability: Int
    private let searches: Bool
    private let names: Set<String>
    private let times = Mutex<[KernelTime]>([])
    private let launched = Mutex<Set<String>>([])

    /// - Parameter names: of the kernels to time; none means all.
    /// - Throws: `RuntimeError` if the device is no GPU.
    package init(on device: Device, searches: Bool, names: [String] = []) throws {
        capability = try device.cuda("timing kernels one by one").properties.target
        flush = try NDArray(empty: [1 << 26], device: device)
        self.searches = searches
        self.names = Set(names)
    }

    /// - Returns: one entry per launch, in their order.
    package func run(_ workload: Workload) throws -> [KernelTime] {
        try LaunchObservation.with(self) { try workload.run() }
        return times.withLock { times in
            defer { times = [] }
            return times
        }
    }

    /// The kernels that were launched, and those to be timed that were not.
    package var seen: [String] { launched.withLock { $0.sorted() } }
    package var unseen: [String] { names.subtracting(seen).sorted() }

    package func observe(
        _ kernel: any TileKernel, programs: Int, arrays: [NDArray], scalars: [Constant],
        run: () throws -> Void
    ) throws {
        try run()
        _ = launched.withLock { $0.insert(kernel.name) }
        guard names.isEmpty || names.contains(kernel.name) else { return }
        let trial = try KernelTrial(
            kernel, programs: programs, arrays: arrays, scalars: scalars, flush: flush)
        let chosen = GPUSchedule(trial.function, layouts: trial.layouts, capability: capability)
        let rule = GPUSchedule.rule(trial.function, layouts: trial.layouts, capability: capability)
        let byRule = try trial.milliseconds(rule)
        var best = (schedule: chosen, time: try trial.milliseconds(chosen))
        var (tried, failed) = (1, 0)
        if searches {
            let candidates = GPUSchedule.candidates(
                trial.function, layouts: trial.layouts, capability: capability)
            for candidate in candidates {
                tried += 1
                // A candidate that needs more than the GPU has is not an error, only not chosen.
                guard let time = try? trial.milliseconds(candidate, runs: 3) else {
                    failed += 1
                    continue
                }
                // Less is within what two runs differ by.
                if time < 0.98 * best.time { best = (candidate, time) }
            }
        }
        let time = KernelTime(
            kernel: kernel.name, programs: programs, schedule: best.schedule,
            key: TuningKey(trial.function, rule, capability: capability), milliseconds: best.time,
            byRule: byRule, bytes: trial.bytes, tried: tried, failed: failed)
        times.withLock { $0.append(time) }
        // The arrays may have been updated many times; what follows takes them as they are.
    }
}
