import LigerLosses
import LigerRuntime
import Tile

/// A linear layer among an operation's inputs: `input`, `weight` and `bias`.
struct HeadInputs {
    let input, weight: Input<NDArray>
    let bias: Input<NDArray?>

    init(_ s: inout Signature) {
        input = s.input("input")
        weight = s.input("weight")
        bias = s.optionalInput("bias")
    }

    func read(_ a: Arguments) -> LinearHead {
        LinearHead(input: a[input], weight: a[weight], bias: a[bias])
    }

    /// Gradients of those that `needs` has bits for.
    ///
    /// - Parameter hasScales: whether those of f16 may come over scales; not where the upstream gradient is known.
    func gradients(_ s: inout Signature, _ needs: Option<LinearNeeds>, hasScales: Bool = true) {
        s.output("dinput", like: input, when: .has(.input, in: needs))
        s.output("dweight", like: weight, when: .has(.weight, in: needs))
        s.output("dbias", like: bias, when: .given(bias), .has(.bias, in: needs))
        if !hasScales { return }
        // What rows of f16 gradients still have to be multiplied by.
        s.output(
            "input_scales", [.rows(of: input)], .f32, when: .has([.input, .scales], in: needs),
            .holds(input, .f16))
        s.output(
            "weight_scales", [.rows(of: weight)], .f32, when: .has([.weight, .scales], in: needs),
            .holds(weight, .f16))
        s.output(
            "bias_scales", [.constant(1)], .f32, when: .has([.bias, .scales], in: needs), .holds(bias, .f16))
    }
}

/// Another model's layer, which may be left out.
struct OtherHeadInputs {
    private let prefix: String
    private let input, weight, bias: Input<NDArray?>

    init(_ s: inout Signature, _ prefix: String) {
        self.prefix = prefix
        input = s.optionalInput(prefix + "input")
        weight = s.optionalInput(prefix + "weight")
        bias = s.optionalInput(prefix + "bias")
    }

    func read(_ a: Arguments) throws -> LinearHead? {
        guard (a[input] != nil) == (a[weight] != nil), a[input] != nil || a[bias] == nil else {
            throw RuntimeError(
                "'\(prefix)input', '\(prefix)weight' and '\(prefix)bias' are not all of a layer. Give the first "
                    + "two, or none of them")
        }
        guard let input = a[input], let weight = a[weight] else { return nil }
        return LinearHead(input: input, weight: weight, bias: a[bias])
    }
}

/// What a loss that works in chunks does with memory.
struct MemoryOptions {
    let accumulation: Option<FusedLinearCrossEntropy.Accumulation>
    let budgetBytes: Option<Int?>

    init(_ s: inout Signature) {
        accumulation = s.choice("accumulation", default: .exact)
        budgetBytes = s.optionalWhole("budget_bytes")
    }
}

/// Which tokens of sequences count, and the memory.
struct SequenceChoices {
    private let ignoreIndex: Option<Int>
    private let temperature: Option<Float>
    private let memory: MemoryOptions
    let needs: Option<LinearNeeds>

    init(_ s: inout Signature) {
        ignoreIndex = s.whole("ignore_index", default: -100)
        temperature = s.number("temperature", default: 1)
        memory = MemoryOptions(&s)
        needs = s.bits("needs", default: .all)
    }

    func read(_ a: Arguments) -> SequenceOptions {
        SequenceOptions(
            ignoreIndex: a[ignoreIndex], temperature: a[temperature], budgetBytes: a[memory.budgetBytes],
            accumulation: a[memory.accumulation])
    }
}

extension LinearScales {
    /// In the order of a signature.
    var all: [NDArray?] { [input, weight, bias] }
}
