internal import ArgumentParser
internal import LigerRuntime
internal import LigerTrainer

extension Bench {
    /// Times a linear layer with cross entropy on one GPU, and on several that share its classes.
    func timeShardedHead(_ gpus: Int) throws {
        let devices = try (0..<gpus).map {
            try device == "cpu" ? Device(name: "rank \($0)") : Device.named("\(device):\($0)")
        }
        let inner = hidden ?? columns
        let layer = ShardedHeadTrial.Layer(
            tokens: rows, hidden: inner, classes: vocabulary, dtype: dtype.dtype)
        let outcome = try ShardedHeadTrial(layer, rounds: rounds).run(on: devices)
        let (one, shared) = (Self.median(outcome.oneSeconds), Self.median(outcome.sharedSeconds))
        if output.json {
            return print(
                try OutputArguments.line(
                    SharedRow(
                        gpus: gpus, shape: "\(rows)x\(inner)x\(vocabulary)", oneMilliseconds: one * 1e3,
                        sharedMilliseconds: shared * 1e3, ratio: shared / one, peakBytes: outcome.peakBytes,
                        loss: outcome.losses.one, sharedLoss: outcome.losses.shared,
                        inputError: outcome.inputError, weightError: outcome.weightError)))
        }
        print(
            """
            FusedLinearCrossEntropy \(rows)x\(inner)x\(vocabulary), forward and backward, medians of \(rounds)
              one           \(Format.significant(one * 1e3)) ms
              \(gpus) of its classes \(Format.significant(shared * 1e3)) ms, \(Format.significant(shared / one)) \
            of one's, \(Format.bytes(outcome.peakBytes)) at most
              losses        \(outcome.losses.one), \(outcome.losses.shared)
              gradients     differ by \(Format.significant(outcome.inputError)) of the input's length, \
            \(Format.significant(outcome.weightError)) of the weight's
            """)
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}

private struct SharedRow: Encodable {
    let gpus: Int
    let shape: String
    let oneMilliseconds: Double
    let sharedMilliseconds: Double
    let ratio: Double
    let peakBytes: Int
    let loss: Double
    let sharedLoss: Double
    let inputError: Double
    let weightError: Double
}
