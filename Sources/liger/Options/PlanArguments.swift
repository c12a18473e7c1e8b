internal import ArgumentParser
internal import LigerTrainer

/// Whether a run is worked out and not begun.
struct PlanArguments: ParsableArguments {
    @Flag(
        help: """
            Say what the run would read, take and do, and end: nothing is trained. The command fails if the run would be \
            refused, and with --gpu-memory if it takes more than that.
            """)
    var planOnly = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            With --plan-only and --device cuda: plan for a GPU of so much memory and compute capability 9.0, which need \
            not be here, as 80GiB. Attention is planned by blocks, as with --attention blocked.
            """, valueName: "bytes"))
    var gpuMemory: ByteCount?

    /// Refuses a GPU to plan for where there is no plan, or no GPU is meant.
    func check(_ options: TrainingOptions) throws {
        guard gpuMemory != nil else { return }
        if !planOnly { throw ValidationError("--gpu-memory has no meaning without --plan-only") }
        if options.device == .cpu {
            throw ValidationError("--gpu-memory plans for a GPU, and --device is cpu; give --device cuda")
        }
    }

    /// Works the run out and prints it.
    ///
    /// - Throws: what would refuse the run.
    func show(_ options: TrainingOptions, gpus: Int) throws {
        let plan = try RunPlan(
            options, gpus: gpus, gpuMemory: gpuMemory?.count, output: .standard)
        if options.json {
            print(try plan.json)
        } else {
            for line in plan.lines { print(line) }
            if let sample = plan.sample {
                print(sample.lines(isTerminal: ProgressDisplay.isStyled))
                if let warning = sample.warning { print(warning) }
            }
        }
        if let refusal = plan.refusal { throw refusal }
    }
}
