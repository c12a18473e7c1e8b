internal import LigerNN
internal import LigerTrainer
internal import Tile

/// Shows how a comparison goes and what it came to.
struct ComparisonDisplay {
    let isJSON: Bool

    /// After each pair of steps.
    func show(step: Int, of steps: Int) {
        guard !isJSON, ProgressDisplay.isTerminal else { return }
        // The table takes this line's place.
        let text = step == steps ? "" : "step \(step) of \(steps), both ways"
        ProgressDisplay.Output.standard.write("\r\u{1B}[K\(text)")
    }

    /// The table, or one JSON object.
    func report(_ result: KernelComparison, _ options: TrainingOptions, vocabulary: Int?) throws {
        if isJSON { return print(try OutputArguments.line(Report(result))) }
        let size = vocabulary.map { " with a vocabulary of \(Format.integer($0))" } ?? ""
        print(
            """
            \(options.model)\(size) on \(result.device), \(options.dtype.rawValue), \(options.tokensPerStep) tokens a step, \
            \(Format.count(options.steps, "step")), seed \(options.seed)

            """)
        var table = Table([
            .text("kernels"), .number("tokens/s"), .number("peak memory"),
            .number("beyond weights and optimiser"), .number("final loss"),
        ])
        for side in [result.reference, result.fused] {
            table.add([
                side.kernels.description, Format.decimal(side.tokensPerSecond, places: 0),
                Format.bytes(side.peakBytes), Format.bytes(side.stepBytes),
                Format.decimal(side.losses.last ?? .nan, places: 6),
            ])
        }
        let (plain, fused) = (result.reference, result.fused)
        table.add([
            "ratio", Self.ratio(fused.tokensPerSecond, plain.tokensPerSecond),
            Self.ratio(Double(fused.peakBytes), Double(plain.peakBytes)),
            Self.ratio(Double(fused.stepBytes), Double(plain.stepBytes)), "",
        ])
        print(table.plain)
        let difference = Format.significant(result.largestDifference)
        let verdict = result.holds ? "within" : "BEYOND"
        let judged = min(options.steps, KernelComparison.judgedSteps)
        print(
            "largest relative loss difference in \(judged) steps: \(difference), \(verdict) the bound of "
                + Format.significant(result.bound, digits: 1))
        if options.steps > judged {
            let all = Format.significant(result.largestDifferenceOfAll)
            print("in all \(options.steps) steps: \(all); not judged, for rounding grows with the steps")
        }
    }

    private static func ratio(_ value: Double, _ base: Double) -> String {
        Format.decimal(value / base, places: 2) + "x"
    }

    private struct Report: Encodable {
        let device: String
        let reference: Row
        let liger: Row
        let largestLossDifference: Double
        let judgedSteps: Int
        let bound: Double
        let holds: Bool

        init(_ result: KernelComparison) {
            device = result.device
            reference = Row(result.reference)
            liger = Row(result.fused)
            // JSON has no infinity.
            largestLossDifference = min(result.largestDifference, .greatestFiniteMagnitude)
            judgedSteps = min(result.reference.losses.count, KernelComparison.judgedSteps)
            bound = result.bound
            holds = result.holds
        }
    }

    private struct Row: Encodable {
        let tokensPerSecond: Double
        let peakBytes: Int
        let stepBytes: Int
        let losses: [Double]

        init(_ side: KernelComparison.Side) {
            tokensPerSecond = side.tokensPerSecond
            peakBytes = side.peakBytes
            stepBytes = side.stepBytes
            losses = side.losses
        }
    }
}
