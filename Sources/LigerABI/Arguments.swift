import CLigerABI
import LigerRuntime
import Tile

/// The arrays and options of one call, checked against the operation's signature: there is everything that it asks
/// for, and nothing else.
///
/// An operation reads them by the handles that its signature gave: `a[x]`, `a[eps]`.
struct Arguments {
    private let arrays: [String: NDArray]
    private let options: [String: OptionValue]

    /// - Throws: an error that says which input or option is missing, unknown, given twice or of another kind.
    init(_ signature: Signature, arrays: [String: NDArray], options given: [liger_option]) throws {
        let operation = signature.name
        var options: [String: OptionValue] = [:]
        var unknown: [String] = []
        for option in given {
            let name = String(cString: option.name)
            guard let declared = signature.options.first(where: { $0.name == name }) else {
                unknown.append(name)
                continue
            }
            let value = try declared.value(option, of: operation)
            guard options.updateValue(value, forKey: name) == nil else {
                throw RuntimeError("\(operation): the option '\(name)' is given twice. Give it once")
            }
        }
        try refuse(arrays.keys.sorted(), unknown.sorted(), signature)
        for input in signature.inputs where !input.isOptional && arrays[input.name] == nil {
            throw RuntimeError("\(operation) needs an input '\(input.name)', which was not given")
        }
        for option in signature.options where options[option.name] == nil {
            guard case .preset(let value) = option.requirement else {
                throw RuntimeError("\(operation) needs an option '\(option.name)'")
            }
            options[option.name] = value
        }
        self.arrays = arrays
        self.options = options
    }

    /// An array that the signature asks for.
    subscript(_ input: Input<NDArray>) -> NDArray {
        guard let array = arrays[input.name] else { preconditionFailure("\(input.name) is of no signature") }
        return array
    }

    /// An array that may be left out.
    subscript(_ input: Input<NDArray?>) -> NDArray? { arrays[input.name] }

    subscript<Value>(_ option: Option<Value>) -> Value { option.read(options[option.name]) }
}

/// Refuses names that a signature does not have.
private func refuse(_ inputs: [String], _ unknown: [String], _ signature: Signature) throws {
    func problem(_ kind: String, _ found: [String], _ known: [String]) -> String? {
        if found.isEmpty { return nil }
        let list = known.isEmpty ? "none" : known.joined(separator: ", ")
        return "\(kind) \(found.joined(separator: ", ")) (it takes \(list))"
    }
    let names = signature.inputs.map(\.name)
    let problems = [
        problem("input", inputs.filter { !names.contains($0) }, names),
        problem("option", unknown, signature.options.map(\.name)),
    ].compactMap(\.self)
    if problems.isEmpty { return }
    throw ABIError(
        status: LIGER_UNKNOWN_NAME,
        description: "\(signature.name) has no \(problems.joined(separator: " and no "))")
}

// MARK: - What outputs follow from them

extension Arguments {
    /// Whether an output, or a part of its shape, is there.
    func hold(_ conditions: [Condition]) -> Bool { conditions.allSatisfy(holds) }

    private func holds(_ condition: Condition) -> Bool {
        switch condition {
        case .given(let input): return arrays[input] != nil
        case .absent(let input): return arrays[input] == nil
        case .holds(let input, let type): return arrays[input]?.dtype == type
        case .bits(let option, let bits): return options[option].map { $0.whole & bits == bits } ?? false
        case .word(let option, let word): return options[option] == .word(word)
        case .any(let conditions): return conditions.contains(where: holds)
        case .on(let option):
            switch options[option] {
            case .flag(let isOn): return isOn
            case .number(let number): return number != 0
            case .whole(let whole): return whole != 0
            default: return false
            }
        }
    }

    /// The shape of an output.
    func shape(of output: OutputDeclaration) -> [Int] {
        output.sizes.filter { hold($0.conditions) }.flatMap { part in
            switch part.source {
            case .constant(let size): return [size]
            case .option(let option): return [options[option]?.whole ?? 0]
            case .input(let input, let from, let to, let isProduct):
                let shape = arrays[input]?.shape ?? []
                let (from, to) = (position(from, in: shape), position(to ?? shape.count, in: shape))
                let sizes = from < to ? shape[from..<to].map { $0 / part.divisor } : []
                return isProduct ? [sizes.reduce(1, *)] : sizes
            }
        }
    }

    private func position(_ dimension: Int, in shape: [Int]) -> Int {
        min(max(dimension < 0 ? shape.count + dimension : dimension, 0), shape.count)
    }

    func type(of output: OutputDeclaration) -> DType? {
        switch output.type {
        case .always(let type): type
        case .like(let inputs): inputs.lazy.compactMap { arrays[$0]?.dtype }.first
        }
    }
}
