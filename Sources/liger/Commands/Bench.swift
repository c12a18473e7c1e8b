internal import ArgumentParser
internal import LigerCatalogue
internal import LigerRuntime
internal import LigerTrainer
internal import Tile

/// Times every operation and says how close it comes to copying its inputs and outputs.
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Time every kernel, compared with a copy of memory.",
        discussion: """
            Times operations forward and backward, in turns; on a GPU by its own clock, with cold \
            caches. "GB/s" counts the least bytes an operation moves: \
            each input read once, each output written once. "of copy" is that rate against a copy of 64 MiB in \
            the same run; "memory" is the most it held in addition to inputs and gradients. `make benchmark` compares the same shapes with PyTorch.

            EXAMPLES:
              liger bench
              liger bench --operation SwiGLU --dtype bf16 --rounds 30
              liger bench --device cuda --dtype bf16 --rows 8192 --kernels
            """)

    @OptionGroup var operations: OperationArguments
    @OptionGroup var output: OutputArguments

    @Option(parsing: .unconditional, help: "How often each is timed; the median counts.")
    var rounds = 9

    @Option(parsing: .unconditional, help: "Rows of each operand.")
    var rows = 2048

    @Option(parsing: .unconditional, help: "Columns of each operand.")
    var columns = 4096

    @Option(parsing: .unconditional, help: "Columns of the logits of losses.")
    var vocabulary = 32_000

    @Option(parsing: .unconditional, help: "Inner size of products (default: an eighth of the columns).")
    var hidden: Int?

    @Flag(help: "Time each kernel alone with cold caches, on a GPU.")
    var kernels = false

    @Option(parsing: .upToNextOption, help: "With --kernels or --tune: only the kernels of these names.")
    var only: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            Search every kernel's schedules for these shapes on a GPU and add the winners to this file. Those that \
            ship are in Sources/TileGPU/Schedule/TunedSchedules.swift.
            """, valueName: "file"))
    var tune: String?

    @Option(help: "Storage type of the operands.")
    var dtype = TrainingDType(.f32)

    @Option(help: "Where to run: cpu, cuda, cuda:N, hip or hip:N.")
    var device = "cpu"

    @Option(
        help: """
            Time a linear layer with cross entropy on one GPU, and on so many that each have a part of its classes: \
            --rows tokens, --hidden and --vocabulary are its sizes. On the processor as many ranks share it.
            """)
    var gpus: Int?

    func validate() throws {
        if let gpus {
            if gpus < 2 || gpus > vocabulary || kernels || tune != nil {
                throw ValidationError(
                    "--gpus is \(gpus). Give at least 2, no more than --vocabulary, and neither --kernels nor --tune."
                )
            }
            if device.contains(":") {
                throw ValidationError("--gpus takes the first GPUs of a kind. Give --device cuda.")
            }
        }
        if !only.isEmpty && !kernels && tune == nil {
            throw ValidationError(
                "--only names kernels to time one by one. Give --kernels or --tune with it.")
        }
        if rounds < 1 || rows < 1 || columns < 2 || columns % 2 != 0 || vocabulary < 2 {
            throw ValidationError(
                "Give --rounds and --rows of at least 1, an even --columns and --vocabulary of at least 2.")
        }
    }

    func run() throws {
        warnOfDebugBuild()
        if let gpus { return try timeShardedHead(gpus) }
        var size = BenchmarkSize()
        (size.rows, size.columns, size.vocabulary, size.hidden) = (rows, columns, vocabulary, hidden)
        size.dtype = dtype.dtype
        size.device = try Device.named(device)
        if kernels || tune != nil {
            return try timeKernels(
                try operations.entries().compactMap { try $0.workload?(size) }, size.device)
        }
        var workloads = [("copy", try Benchmark.copyWorkload(size.device))]
        for entry in Catalogue.withAlternatives(try operations.entries(), on: size.device) {
            if let refusal = entry.refusal(size.dtype, size.device) {
                if !output.json { print("\(entry.name) not run: \(refusal)") }
            } else if let workload = entry.workload {
                workloads.append((entry.name, try workload(size)))
            }
        }
        let results = try Benchmark.run(
            workloads.map { (name: $0.0, workload: $0.1) }, rounds: rounds, on: size.device)
        try report(results)
    }

    private func report(_ results: [BenchmarkResult]) throws {
        let copy = results[0].rate
        if output.json {
            for result in results { print(try OutputArguments.line(BenchmarkRow(result, copy))) }
            return
        }
        var table = Table([
            .text("operation"), .text("shape"), .number("ms"), .number("spread"), .number("GB/s"),
            .number("of copy"), .number("memory"),
        ])
        for result in results {
            table.add([
                result.name, result.shape, Format.significant(result.median * 1e3),
                "±" + Format.percent(result.spread), Format.significant(result.rate / 1e9),
                "\(Int((result.rate / copy * 100).rounded()))%", Format.bytes(result.peakBytes),
            ])
        }
        print(table.plain, terminator: "")
    }
}

private struct BenchmarkRow: Encodable {
    let operation: String
    let shape: String
    let milliseconds: Double
    let spread: Double
    let gigabytesPerSecond: Double
    let shareOfCopy: Double
    let peakBytes: Int

    init(_ result: BenchmarkResult, _ copy: Double) {
        operation = result.name
        shape = result.shape
        milliseconds = result.median * 1e3
        spread = result.spread
        gigabytesPerSecond = result.rate / 1e9
        shareOfCopy = result.rate / copy
        peakBytes = result.peakBytes
    }
}
