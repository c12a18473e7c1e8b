/// What one line of metrics.jsonl says: about a training step, or about an evaluation.
public struct MetricsLine: Sendable, Equatable, Decodable {
    /// Optimiser steps done so far, counted from 1; an evaluation before the first step has 0.
    public var step: Int
    /// Mean loss per token of this step's batch.
    public var loss: Double?
    /// Mean loss per token of the evaluation split.
    public var evaluationLoss: Double?
    /// The rate this step used.
    public var learningRate: Double?
    /// The gradient's norm before clipping.
    public var gradientNorm: Double?
    /// Tokens trained on so far.
    public var tokens: Int?
    /// Speed of this step.
    public var tokensPerSecond: Double?
    /// Seconds since this process began to train.
    public var seconds: Double?
    /// Bytes the process occupies.
    public var memoryBytes: Int?
    /// The most bytes that arrays held on the GPU so far.
    public var deviceBytes: Int?

    /// A line about `step`, to be filled in.
    public init(step: Int, loss: Double? = nil, evaluationLoss: Double? = nil) {
        self.step = step
        self.loss = loss
        self.evaluationLoss = evaluationLoss
    }

    /// One JSON object without a line break: `{"step":1,"loss":5.5}`. What is nil is left out. Numbers read
    /// back to the same bits; as JSON has no other way, NaN and infinities are the strings "NaN",
    /// "Infinity" and "-Infinity".
    public var json: String {
        var fields = ["\"step\":\(step)"]
        func add(_ key: CodingKeys, _ value: Double?) {
            guard let value else { return }
            let text =
                value.isFinite
                ? "\(value)" : value.isNaN ? "\"NaN\"" : value < 0 ? "\"-Infinity\"" : "\"Infinity\""
            fields.append("\"\(key.rawValue)\":\(text)")
        }
        func add(_ key: CodingKeys, _ value: Int?) {
            if let value { fields.append("\"\(key.rawValue)\":\(value)") }
        }
        add(.loss, loss)
        add(.evaluationLoss, evaluationLoss)
        add(.learningRate, learningRate)
        add(.gradientNorm, gradientNorm)
        add(.tokens, tokens)
        add(.tokensPerSecond, tokensPerSecond)
        add(.seconds, seconds)
        add(.memoryBytes, memoryBytes)
        add(.deviceBytes, deviceBytes)
        return "{\(fields.joined(separator: ","))}"
    }

    enum CodingKeys: String, CodingKey {
        case step, loss
        case evaluationLoss = "eval_loss"
        case learningRate = "learning_rate"
        case gradientNorm = "gradient_norm"
        case tokens
        case tokensPerSecond = "tokens_per_second"
        case seconds
        case memoryBytes = "memory_bytes"
        case deviceBytes = "device_bytes"
    }
}
