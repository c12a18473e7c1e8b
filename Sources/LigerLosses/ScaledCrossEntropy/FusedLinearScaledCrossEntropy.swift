import LigerKernels
public import LigerRuntime
import Tile

/// Cross entropy and entropy of each token under a linear layer whose logits are divided by a temperature, and
/// log-probabilities of some classes that are the same for all tokens, without the logits. With z = x W^T + b, T the
/// temperature and y the label:
///
///     log p = log softmax(z / T)      nll = -log p_y      entropy = -Σ p log p      selected_k = log p[classes_k]
///
/// All are 0, and without a gradient, where the label is ignored. Gradients are those of any function of them, given
/// its derivatives a by nll, h by entropy and d_k by selected_k:
///
///     dz = (p (a - Σ d - h (log p + entropy)) - a onehot(y) + Σ d_k onehot(classes_k)) / T
///
/// Logits are fp32 on every device: ratios of probabilities, which such losses take, are as exact as fp32 allows.
///
/// Cost: a product of tokens x vocabulary x hidden for `forward`, three for `backward`, which makes the logits again. Where
/// a GPU's own kernels multiply, neither stores logits, and `backward` goes through blocks of classes: what it holds is the
/// 16-bit gradient of a block's logits (256 MiB by default), and the input's gradient in fp32.
public enum FusedLinearScaledCrossEntropy {
    /// What `forward` found of each token, [tokens] and f32.
    public struct Result: Sendable {
        /// -log p(label); 0 where the label is ignored.
        public let nll: NDArray
        /// Nil where not asked for.
        public let entropy: NDArray?
        /// [tokens, classes]; nil where none were asked for.
        public let selected: NDArray?
        /// The largest of z / T, and the sum of the exponentials of the others' distance to it.
        public let maximum, sumExp: NDArray

        /// The result of an earlier call, of its parts that `backward` needs.
        public init(
            nll: NDArray, entropy: NDArray?, selected: NDArray? = nil, maximum: NDArray, sumExp: NDArray
        ) {
            (self.nll, self.entropy, self.selected) = (nll, entropy, selected)
            (self.maximum, self.sumExp) = (maximum, sumExp)
        }
    }

    /// The derivatives of a loss by what `forward` found, f32.
    public struct Upstream: Sendable {
        /// a, [tokens].
        public var nll: NDArray
        /// h, [tokens]; nil is 0.
        public var entropy: NDArray?
        /// d, [tokens, n], and for each class of the layer which of the n columns is its own, -1 for none: [V], i32.
        /// Nil is 0. A class that was selected twice has one column, with the sum of both derivatives.
        public var selected: (derivatives: NDArray, columns: NDArray)?

        /// Derivatives; shapes are checked when they are used.
        public init(
            nll: NDArray, entropy: NDArray? = nil, selected: (derivatives: NDArray, columns: NDArray)? = nil
        ) {
            (self.nll, self.entropy, self.selected) = (nll, entropy, selected)
        }
    }

    /// The needed gradients, like what they belong to; nil where not needed.
    public struct Gradients: Sendable {
        /// Of the layer's input, weight and bias.
        public let dInput, dWeight, dBias: NDArray?
    }

    /// - Parameters:
    ///   - head: its input is [..., H].
    ///   - labels: as many as tokens, i64 or i32.
    ///   - classes: the selected ones, [n], i32; any may occur twice.
    ///   - wantsEntropy: whether each token's entropy is computed too.
    ///   - sequences: the ignored label, temperature and memory.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out; an error that names a label,
    ///   or a selected class, that the layer does not have.
    public static func forward(
        head: LinearHead, labels: NDArray, classes: NDArray? = nil, wantsEntropy: Bool = false,
        sequences: SequenceOptions = SequenceOptions()
    ) throws -> Result {
        let task = try ScaledCrossEntropyTask(head, labels: labels, sequences)
        return try task.forward(classes: classes, wantsEntropy: wantsEntropy)
    }

    /// - Parameters:
    ///   - head: as for `forward`.
    ///   - labels: as for `forward`.
    ///   - result: as `forward` returned it for the same arguments; with the entropy where the upstream gradient has
    ///     its derivative.
    ///   - upstream: what is given of ignored tokens is not read.
    ///   - sequences: the ignored label, temperature and memory.
    ///   - needs: which gradients are wanted.
    /// - Throws: `RuntimeError` if shapes, types or options do not fit or memory runs out.
    public static func backward(
        head: LinearHead, labels: NDArray, _ result: Result, upstream: Upstream,
        sequences: SequenceOptions = SequenceOptions(), needs: LinearNeeds = .all
    ) throws -> Gradients {
        let task = try ScaledCrossEntropyTask(head, labels: labels, sequences)
        let needs = head.bias == nil ? needs.subtracting(.bias) : needs
        let gradients = try task.backward(result, upstream, needs: needs.subtracting(.scales))
        return Gradients(
            dInput: gradients.input?.reshaped(head.input.shape), dWeight: gradients.weight,
            dBias: gradients.bias)
    }
}
