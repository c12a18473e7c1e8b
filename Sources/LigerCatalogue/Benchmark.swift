package import LigerRuntime
import Tile

/// What a workload took.
package struct BenchmarkResult: Sendable {
    package let name: String
    package let shape: String
    /// Seconds, sorted.
    package let times: [Double]
    package let floorBytes: Int
    /// The most memory it held, in addition to its inputs and results.
    package let peakBytes: Int

    package var median: Double { times[times.count / 2] }
    /// Half the distance between the quartiles, relative to the median.
    package var spread: Double {
        (times[times.count * 3 / 4] - times[times.count / 4]) / 2 / median
    }
    /// Least bytes over median time, in bytes per second.
    package var rate: Double { Double(floorBytes) / median }
}

/// Times workloads in turns, so that a slow moment of the machine falls on all of them.
package enum Benchmark {
    /// On a GPU the times are the device's own, each run behind a write of more than the cache holds.
    ///
    /// - Parameters:
    ///   - rounds: how often each is timed, after one run that compiles and warms.
    ///   - progress: called before each round.
    package static func run(
        _ workloads: [(name: String, workload: Workload)], rounds: Int, on device: Device = .cpu,
        progress: (Int) -> Void = { _ in }
    ) throws -> [BenchmarkResult] {
        let timer = try RunTimer(device)
        var times = workloads.map { _ in [Double]() }
        let peaks = try workloads.map { item in
            let before = device.bytesInUse
            device.resetPeak()
            try item.workload.run()
            return max(0, device.peakBytes - before - item.workload.resultBytes)
        }
        try device.synchronize()
        for round in 0..<rounds {
            progress(round)
            for (i, item) in workloads.enumerated() {
                times[i].append(try timer.seconds(item.workload.run))
            }
        }
        return workloads.indices.map { i in
            let (name, workload) = workloads[i]
            return BenchmarkResult(
                name: name, shape: workload.shape, times: times[i].sorted(),
                floorBytes: workload.floorBytes, peakBytes: peaks[i])
        }
    }

    /// A copy of 64 MiB on all threads: the bandwidth that memory-bound kernels are held against. Counts
    /// bytes read and bytes written.
    package static func copyWorkload(_ device: Device) throws -> Workload {
        let source = try NDArray.zeros([1 << 24], device: device)
        let target = try NDArray.zeros([1 << 24], device: device)
        return Workload(shape: "64 MiB", floorBytes: 2 * source.byteCount) {
            try source.copyBytes(to: target)
        }
    }
}

extension BenchmarkSize {
    /// `2048x4096 f32`.
    var rowsByColumns: String { "\(rows)x\(columns) \(dtype.rawValue)" }
}
