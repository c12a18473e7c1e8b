internal import ArgumentParser
internal import LigerCatalogue
internal import LigerRuntime
internal import LigerTrainer
internal import Platform
internal import TileGPU

extension Bench {
    /// Times kernels one by one; with `--tune` under every schedule, and keeps the winners.
    func timeKernels(_ workloads: [Workload], _ device: Device) throws {
        let tuner = try KernelTuner(on: device, searches: tune != nil, names: only)
        var winners = TunedFile(GPUSchedule.tunedSchedules)
        var table = Table([
            .text("kernel"), .number("programs"), .number("ms"), .number("rule's ms"), .number("GB/s"),
            .text("schedule"), .number("tried"), .number("failed"),
        ])
        for workload in workloads {
            // Each once: the first run of a workload launches them all.
            for time in try tuner.run(workload) {
                if tune != nil { winners.add(time) }
                let seconds = Double(time.milliseconds) / 1e3
                if output.json {
                    print(try OutputArguments.line(KernelRow(time)))
                    continue
                }
                table.add([
                    time.kernel, "\(time.programs)", Format.significant(Double(time.milliseconds)),
                    Format.significant(Double(time.byRule)),
                    Format.significant(Double(time.bytes) / seconds / 1e9), time.schedule.summary,
                    "\(time.tried)", "\(time.failed)",
                ])
            }
        }
        if !output.json { print(table.plain, terminator: "") }
        let missing = tuner.unseen
        if !missing.isEmpty {
            throw ValidationError(
                "no kernel \(missing.joined(separator: ", ")) was launched. There were: "
                    + tuner.seen.joined(separator: ", "))
        }
        if let tune { try winners.text.write(toFile: tune, atomically: true, encoding: .utf8) }
    }
}

/// The source file that tuned schedules ship in.
private struct TunedFile {
    private var schedules: [TuningKey: GPUSchedule]

    init(_ schedules: [TuningKey: GPUSchedule]) { self.schedules = schedules }

    /// Keeps what is clearly faster than the rule; what is not needs no entry.
    mutating func add(_ time: KernelTime) {
        if time.milliseconds < 0.97 * time.byRule { schedules[time.key] = time.schedule }
    }

    var text: String {
        let lines = schedules.map { key, schedule in
            """
                    TuningKey(
                        kernel: "\(key.kernel)", vector: \(key.vector), lengthExponent: \(key.lengthExponent), \
            capability: \(key.capability)): GPUSchedule(
                            threads: \(schedule.threads), blocks: \(schedule.blocks), \
            programsPerBlock: \(schedule.programsPerBlock), vector: \(schedule.vector),
                            residentLanes: \(schedule.residentLanes), chunkVectors: \(schedule.chunkVectors), \
            minimumBlocks: \(schedule.minimumBlocks),
                            stages: \(schedule.stages), prefetchedChunks: \(schedule.prefetchedChunks)),
            """
        }
        let body = lines.isEmpty ? "[:]" : "[\n" + lines.sorted().joined(separator: "\n") + "\n    ]"
        return """
            // Written by `liger bench --tune`; not by hand.
            extension GPUSchedule {
                static let tuned: [TuningKey: GPUSchedule] = \(body)
            }

            """
    }
}

extension GPUSchedule {
    /// Such as `256 x 1, 16 lanes`: threads of a program, programs of a block, lanes of a thread.
    fileprivate var summary: String {
        let least = minimumBlocks > 0 ? ", \(minimumBlocks) at least" : ""
        let shared = blocks > 1 ? " in \(blocks) blocks" : ""
        return
            "\(threads) x \(programsPerBlock)\(shared), vector \(vector), \(residentLanes) lanes, "
            + "chunk \(chunkVectors)\(least)" + (stages > 0 ? ", \(stages) stages" : "")
            + (prefetchedChunks > 0 ? ", \(prefetchedChunks) chunks prefetched" : "")
    }
}

private struct KernelRow: Encodable {
    let kernel: String
    let programs: Int
    let milliseconds: Float
    let byRule: Float
    let bytes: Int
    let schedule: String

    init(_ time: KernelTime) {
        kernel = time.kernel
        programs = time.programs
        milliseconds = time.milliseconds
        byRule = time.byRule
        bytes = time.bytes
        schedule = time.schedule.summary
    }
}
