import LigerKernels
public import LigerRuntime
import Tile

/// Losses of a student's last layer compared with a teacher's, without the logits of either: both are made, turned into a
/// loss and the student's gradients, and overwritten chunk by chunk of tokens. With student logits z, teacher
/// logits u, labels y, temperature T and n the number of tokens that count:
///
///     loss = (w_hard Σ hard + w_soft Σ soft) / n        hard = -log softmax(z)_y
///
/// and soft one of the cases below. Gradients are the student's alone:
///
///     dsoft/dz = (s - q Σ s) / T    s the derivative of soft by log q, q = softmax(z / T)
///     dhard/dz = softmax(z) - onehot(y)
///
/// Where the teacher's vocabulary is larger, the student's soft distribution has logits 0 for the rest. With no
/// token that counts the loss is 0. Arithmetic is in fp32 whatever the storage, and so are both sides' logits: soft is a
/// small difference of large numbers, which 16 bits would round away.
/// Cost: three products of tokens x vocabulary x hidden for the student, one for the teacher's logits.
public enum FusedLinearDistillation {
    /// The soft loss.
    public enum Formula: Sendable, Hashable {
        /// `Divergence.Formula.jensenShannon` of softmax(z / T) and softmax(u / T).
        case jensenShannon(beta: Float)
        /// β (1 - cos(z, u)); lengths below 1e-8 count as that.
        case cosine(beta: Float)
        /// `Divergence.Formula.kullbackLeibler` of softmax(z / T) and probabilities that are given.
        case kullbackLeibler(eps: Float = 1e-10)
    }

    /// The teacher's side.
    public enum Teacher: Sendable {
        /// Its last layer.
        case layer(LinearHead)
        /// Its probabilities, [tokens, V].
        case probabilities(NDArray)
    }

    /// What a training run fixes once.
    public struct Options: Sendable, Hashable {
        /// The weight of the loss of the labels.
        public var hardWeight: Float
        /// Whether the loss of the labels is computed where its weight is 0.
        public var wantsHard: Bool
        /// The weight of the loss against the teacher.
        public var softWeight: Float
        /// Which tokens count, the temperature, and the memory: the budget is for both sides' logits.
        public var sequences: SequenceOptions

        /// Options; the soft loss alone where none is given.
        public init(
            hardWeight: Float = 0, wantsHard: Bool = false, softWeight: Float = 1,
            sequences: SequenceOptions = SequenceOptions()
        ) {
            self.hardWeight = hardWeight
            self.wantsHard = wantsHard
            self.softWeight = softWeight
            self.sequences = sequences
        }

        var computesHard: Bool { wantsHard || hardWeight != 0 }
    }

    /// A loss, its parts, and the needed gradients for an upstream gradient of 1.
    public struct Result: Sendable {
        /// [], f32.
        public let loss: NDArray
        /// [], f32: the mean of soft over the tokens that count.
        public let soft: NDArray
        /// [], f32: the mean of hard; nil where it is not computed.
        public let hard: NDArray?
        /// The gradient of the student's input, like it; nil where not needed.
        public let dInput: NDArray?
        /// The gradient of the student's weight, like it; nil where not needed.
        public let dWeight: NDArray?
        /// The gradient of the student's bias, like it; nil where not needed.
        public let dBias: NDArray?
        /// What these still have to be multiplied by, where `LinearNeeds.scales` asked for it.
        public let scales: LinearScales
    }

    /// The loss, and the needed gradients.
    ///
    /// - Parameters:
    ///   - formula: Jensen-Shannon divergence, or cosine.
    ///   - student: its input is [..., H].
    ///   - teacher: a layer of as many tokens, or probabilities, which a Kullback-Leibler divergence takes.
    ///   - labels: as many as tokens, i64 or i32; nil where all tokens count and only the soft loss is wanted.
    ///   - options: the weights of both losses, temperature and memory.
    ///   - needs: with none, only the loss is computed.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out; an error that names a
    ///   label that is neither a class nor ignored; one that names the package to install if there is no library
    ///   for matrix products.
    public static func forward(
        _ formula: Formula, student: LinearHead, teacher: Teacher, labels: NDArray? = nil,
        options: Options = Options(), needs: LinearNeeds = .all
    ) throws -> Result {
        try forward(
            formula, student: student, teacher: teacher, labels: labels, totals: nil, options: options,
            needs: needs)
    }

    /// The same of a part of a batch.
    ///
    /// - Parameter totals: what means are taken over; nil for the batch's own tokens.
    package static func forward(
        _ formula: Formula, student: LinearHead, teacher: Teacher, labels: NDArray?, totals: LossTotals?,
        options: Options, needs: LinearNeeds
    ) throws -> Result {
        let batch = try DistillationBatch(
            formula, student: student, teacher: teacher, labels: labels, totals: totals, options)
        return try batch.run(needs: student.bias == nil ? needs.subtracting(.bias) : needs)
    }
}
