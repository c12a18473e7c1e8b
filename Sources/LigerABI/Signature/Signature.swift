import LigerRuntime
import Tile

/// What goes into an operation and comes out of it: the one description that calls are checked against, and that
/// `liger_signatures` prints for other languages.
///
/// An operation declares its inputs, options and outputs in the order in which callers see them, and keeps the
/// handles it gets to read its `Arguments` with:
///
///     Operation("rms_norm_forward") { s in
///         let x = s.input("x"), weight = s.optionalInput("weight")
///         let eps = s.number("eps", default: 1e-6)
///         s.output("y", like: x)
///         s.output("rstd", [.rows(of: x)], .f32)
///         return { a in ... a[x], a[weight], a[eps] ... }
///     }
///
/// Options without a default go before the others, as in the functions of other languages.
package struct Signature: Sendable {
    let name: StaticString
    private(set) var inputs: [InputDeclaration] = []
    private(set) var options: [OptionDeclaration] = []
    private(set) var outputs: [OutputDeclaration] = []

    init(name: StaticString) { self.name = name }
}

// MARK: - Inputs

extension Signature {
    /// An array that must be given.
    mutating func input(_ name: String) -> Input<NDArray> { add(InputDeclaration(name: name)) }

    /// An array that must be given, and that the operation writes over.
    mutating func writtenInput(_ name: String) -> Input<NDArray> {
        add(InputDeclaration(name: name, isWritten: true))
    }

    /// An array that may be left out, and that the operation writes over.
    mutating func optionalWrittenInput(_ name: String) -> Input<NDArray?> {
        add(InputDeclaration(name: name, isOptional: true, isWritten: true))
    }

    /// An array that may be left out.
    mutating func optionalInput(_ name: String) -> Input<NDArray?> {
        add(InputDeclaration(name: name, isOptional: true))
    }

    private mutating func add<Array>(_ input: InputDeclaration) -> Input<Array> {
        inputs.append(input)
        return Input(name: input.name)
    }
}

/// How an operation names one of its inputs; `Array` is `NDArray`, or `NDArray?` for one that may be left out.
struct Input<Array>: Sendable {
    let name: String
}

struct InputDeclaration: Sendable {
    let name: String
    var isOptional = false
    var isWritten = false
}

// MARK: - Options

extension Signature {
    mutating func number(_ name: String) -> Option<Float> { required(name, .number) { Float($0.number) } }

    mutating func number(_ name: String, default value: Double) -> Option<Float> {
        preset(name, .number, .number(value)) { Float($0.number) }
    }

    /// A number that may be left out.
    mutating func optionalNumber(_ name: String) -> Option<Float?> {
        declare(name, .number, .preset(nil)) { $0.map { Float($0.number) } }
    }

    mutating func whole(_ name: String) -> Option<Int> { required(name, .whole) { $0.whole } }

    mutating func whole(_ name: String, default value: Int) -> Option<Int> {
        preset(name, .whole, .whole(value)) { $0.whole }
    }

    /// A whole number that may be left out.
    mutating func optionalWhole(_ name: String) -> Option<Int?> {
        declare(name, .whole, .preset(nil)) { $0.map(\.whole) }
    }

    /// Some whole numbers, which C gives as a text: "16,24,24".
    mutating func wholes(_ name: String) -> Option<[Int]> { required(name, .wholes) { $0.wholes } }

    /// A set, as the whole number that its bits are.
    mutating func bits<Bits: OptionSet & Sendable>(
        _ name: String, default value: Bits
    ) -> Option<Bits> where Bits.RawValue == Int {
        preset(name, .whole, .whole(value.rawValue)) { Bits(rawValue: $0.whole) }
    }

    mutating func flag(_ name: String, default value: Bool = false) -> Option<Bool> {
        preset(name, .flag, .flag(value)) { $0.flag }
    }

    /// One of a few words.
    mutating func choice<Word: RawRepresentable & CaseIterable & Sendable>(
        _ name: String, default value: Word
    ) -> Option<Word> where Word.RawValue == String {
        preset(name, .word(Word.allCases.map(\.rawValue)), .word(value.rawValue)) {
            Word(rawValue: $0.word) ?? value
        }
    }

    private mutating func required<Value>(
        _ name: String, _ kind: OptionDeclaration.Kind, _ read: @escaping @Sendable (OptionValue) -> Value
    ) -> Option<Value> {
        declare(name, kind, .required) { value in
            guard let value else { preconditionFailure("\(name) is required") }
            return read(value)
        }
    }

    private mutating func preset<Value>(
        _ name: String, _ kind: OptionDeclaration.Kind, _ preset: OptionValue,
        _ read: @escaping @Sendable (OptionValue) -> Value
    ) -> Option<Value> {
        declare(name, kind, .preset(preset)) { read($0 ?? preset) }
    }

    private mutating func declare<Value>(
        _ name: String, _ kind: OptionDeclaration.Kind, _ requirement: OptionDeclaration.Requirement,
        _ read: @escaping @Sendable (OptionValue?) -> Value
    ) -> Option<Value> {
        options.append(OptionDeclaration(name: name, kind: kind, requirement: requirement))
        return Option(name: name, read: read)
    }
}

/// How an operation names one of its options.
struct Option<Value>: Sendable {
    let name: String
    let read: @Sendable (OptionValue?) -> Value
}

// MARK: - Outputs

extension Signature {
    /// An output with the shape and the type of an input.
    mutating func output<Array>(
        _ name: StaticString, like input: Input<Array>, when conditions: Condition...
    ) {
        add(OutputDeclaration(name: name, sizes: [.all(of: input)], type: .of(input), conditions: conditions))
    }

    /// An output of its own shape, there where all conditions hold.
    mutating func output(
        _ name: StaticString, _ sizes: [Sizes], _ type: OutputType, when conditions: Condition...
    ) {
        add(OutputDeclaration(name: name, sizes: sizes, type: type, conditions: conditions))
    }

    private mutating func add(_ output: OutputDeclaration) { outputs.append(output) }
}
