/// What one line of metrics.jsonl says: about a training step, or about an evaluation.
public struct MetricsLine: Sendable, Equatable, Decodable {
    /// Optimiser steps done so far, counted from 1; an evaluation before the first step has 0.
    public var step: Int
    /// The mean loss of this step's batch: per token, or as the objective has it.
    public var loss: Double?
    /// The mean loss of the evaluation split.
    public var evaluationLoss: Double?
    /// What the objective reports in addition; names begin with `eval_` where the line is about an evaluation.
    public var figures: [Figure: Double] = [:]
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
        let fields = named.map { name, number in
            let text =
                switch number {
                case .whole(let value): "\(value)"
                case .real(let value):
                    value.isFinite
                        ? "\(value)"
                        : value.isNaN ? "\"NaN\"" : value < 0 ? "\"-Infinity\"" : "\"Infinity\""
                }
            return ",\"\(name)\":\(text)"
        }
        return "{\"step\":\(step)\(fields.joined())}"
    }

    /// All that the line says but the step, by the names of `json`.
    package var numbers: [(name: String, value: Double)] {
        named.map { name, number in
            switch number {
            case .whole(let value): (name, Double(value))
            case .real(let value): (name, value)
            }
        }
    }

    private enum Number {
        case whole(Int)
        case real(Double)
    }

    private var named: [(name: String, number: Number)] {
        var fields: [(name: String, number: Number)] = []
        func add(_ key: CodingKeys, _ value: Double?) {
            if let value { fields.append((key.rawValue, .real(value))) }
        }
        func add(_ key: CodingKeys, _ value: Int?) {
            if let value { fields.append((key.rawValue, .whole(value))) }
        }
        add(.loss, loss)
        add(.evaluationLoss, evaluationLoss)
        let prefix = Self.prefix(isEvaluation: evaluationLoss != nil)
        for figure in Figure.allCases {
            if let value = figures[figure] { fields.append((prefix + figure.rawValue, .real(value))) }
        }
        add(.learningRate, learningRate)
        add(.gradientNorm, gradientNorm)
        add(.tokens, tokens)
        add(.tokensPerSecond, tokensPerSecond)
        add(.seconds, seconds)
        add(.memoryBytes, memoryBytes)
        add(.deviceBytes, deviceBytes)
        return fields
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

    private static func prefix(isEvaluation: Bool) -> String { isEvaluation ? "eval_" : "" }

    /// The name of a figure.
    private struct FigureKey: CodingKey {
        let stringValue: String
        let intValue: Int? = nil

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// Reads what `json` wrote.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        step = try container.decode(Int.self, forKey: .step)
        loss = try container.decodeIfPresent(Double.self, forKey: .loss)
        evaluationLoss = try container.decodeIfPresent(Double.self, forKey: .evaluationLoss)
        learningRate = try container.decodeIfPresent(Double.self, forKey: .learningRate)
        gradientNorm = try container.decodeIfPresent(Double.self, forKey: .gradientNorm)
        tokens = try container.decodeIfPresent(Int.self, forKey: .tokens)
        tokensPerSecond = try container.decodeIfPresent(Double.self, forKey: .tokensPerSecond)
        seconds = try container.decodeIfPresent(Double.self, forKey: .seconds)
        memoryBytes = try container.decodeIfPresent(Int.self, forKey: .memoryBytes)
        deviceBytes = try container.decodeIfPresent(Int.self, forKey: .deviceBytes)
        let named = try decoder.container(keyedBy: FigureKey.self)
        let prefix = Self.prefix(isEvaluation: evaluationLoss != nil)
        for figure in Figure.allCases {
            figures[figure] = try named.decodeIfPresent(
                Double.self, forKey: FigureKey(stringValue: prefix + figure.rawValue))
        }
    }
}
