internal import ArgumentParser
internal import LigerCatalogue
internal import LigerRuntime
internal import LigerTrainer
internal import Tile

/// Checks every kernel against its reference in Double.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check every kernel against its reference in Double.",
        discussion: """
            Runs each operation forward and backward over row lengths around the sizes of vectors and blocks, \
            in every storage type, and compares with plain formulas in Double. Exits with 1 if any error \
            exceeds its bound.

            EXAMPLES:
              liger verify
              liger verify --operation RMSNorm CrossEntropy
              liger verify --columns 129 4096 --dtype bf16
            """)

    @OptionGroup var operations: OperationArguments
    @OptionGroup var output: OutputArguments

    @Option(parsing: .unconditional, help: "Seed of the random values.")
    var seed: UInt64 = 1

    @Option(help: "Where to run: cpu, cuda, cuda:N, hip or hip:N.")
    var device = "cpu"

    @Option(help: "One storage type only.")
    var dtype: StorageType?

    @Option(
        parsing: .upToNextOption,
        help: """
            Only rows of these lengths; there are \
            \(Verification.grid.map { String($0.columns) }.joined(separator: ", ")) (default: all).
            """)
    var columns: [Int] = []

    func validate() throws {
        let lengths = Set(Verification.grid.map(\.columns))
        if let column = columns.first(where: { !lengths.contains($0) }) {
            throw ValidationError(
                "no row of the grid has \(column) columns. Name some of "
                    + lengths.sorted().map(String.init).joined(separator: ", "))
        }
    }

    @Flag(help: "Check instead tensors of more than 2^31 elements; takes some 30 GB of the device's memory.")
    var large = false

    @Option(
        parsing: .unconditional,
        help: "Check instead that so many runs of every operation give the same bits, gradients too.")
    var repetitions: Int?

    func run() throws {
        warnOfDebugBuild()
        let device = try Device.named(device)
        if large { return try checkLarge(device) }
        if let repetitions { return try repeatRuns(repetitions, device) }
        var table = Table([
            .text("operation"), .text("type"), .text("worst quantity"), .number("error"), .number("bound"),
            .text("result"),
        ])
        var (failures, notes) = (0, [String]())
        for entry in Catalogue.withAlternatives(try operations.entries(), on: device) {
            for dtype in dtype.map({ [$0.dtype] }) ?? StorageType.all {
                if let refusal = entry.refusal(dtype, device) {
                    notes.append("\(entry.name) in \(dtype.rawValue) was not run: \(refusal)")
                    continue
                }
                let worst = try Verification.worst(
                    of: entry, dtype: dtype, seed: seed, device: device,
                    columns: columns.isEmpty ? nil : Set(columns))
                if !worst.result.passes { failures += 1 }
                let outcome = worst.result.passes ? "pass" : "FAIL"
                if output.json {
                    print(try OutputArguments.line(VerificationRow(entry.name, dtype.rawValue, worst)))
                } else {
                    table.add([
                        entry.name, dtype.rawValue,
                        "\(worst.result.quantity) at \(worst.point.rows)x\(worst.point.columns)",
                        Format.significant(worst.result.error), Format.significant(worst.result.bound),
                        outcome,
                    ])
                }
            }
        }
        if !output.json {
            print(table.plain, notes.map { $0 + "\n" }.joined(), separator: "", terminator: "")
        }
        for made in device.compilations.sorted(by: { $0.kernel < $1.kernel }) where made.spilledBytes > 0 {
            failures += 1
            if output.json { continue }
            print("FAIL: the driver's compiler spills \(made.spilledBytes) bytes a thread of \(made.kernel)")
        }
        if !output.json { printCompilations(device) }
        if failures > 0 { throw ExitCode(1) }
    }
}

extension Verify {
    /// What compiling for a GPU took, and where it took longest.
    private func printCompilations(_ device: Device) {
        let slowest = device.compilations.sorted { $0.wait > $1.wait }
        if slowest.isEmpty { return }
        let half = slowest[slowest.count / 2].wait.wholeMilliseconds
        print("compiled \(slowest.count) modules, half of them in under \(half) ms each; the slowest:")
        for made in slowest.prefix(5) { print("  \(made.wait.wholeMilliseconds) ms: \(made.kernel)") }
    }

    private func checkLarge(_ device: Device) throws {
        var fails = false
        try Verification.large(on: device) { result in
            let outcome =
                result.differing.isEmpty ? "pass" : "FAIL: " + result.differing.joined(separator: ", ")
            fails = fails || !result.differing.isEmpty
            print("\(result.operation) over \(result.elements) elements: \(outcome)")
        }
        if fails { throw ExitCode(1) }
    }

    private func repeatRuns(_ count: Int, _ device: Device) throws {
        let results = try Verification.repetitions(count, on: device)
        for result in results {
            let outcome = result.differing == 0 ? "pass" : "FAIL: \(result.differing) differ"
            print("\(result.operation), \(count) runs: \(outcome)")
        }
        if results.contains(where: { $0.differing > 0 }) { throw ExitCode(1) }
    }
}

private struct VerificationRow: Encodable {
    let operation: String
    let dtype: String
    let quantity: String
    let rows: Int
    let columns: Int
    let error: Double
    let bound: Double
    let passes: Bool

    init(_ operation: String, _ dtype: String, _ worst: Verification.Worst) {
        self.operation = operation
        self.dtype = dtype
        quantity = worst.result.quantity
        rows = worst.point.rows
        columns = worst.point.columns
        error = worst.result.error.isFinite ? worst.result.error : Double.greatestFiniteMagnitude
        bound = worst.result.bound
        passes = worst.result.passes
    }
}
