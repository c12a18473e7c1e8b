import Tile

/// An output of a signature: its shape, type and presence follow from the inputs and options, without a run.
struct OutputDeclaration: Sendable {
    let name: StaticString
    let sizes: [Sizes]
    let type: OutputType
    /// It is there where all of them hold.
    let conditions: [Condition]
}

/// A part of an output's shape.
struct Sizes: Sendable {
    enum Source: Sendable {
        case constant(Int)
        /// The whole number that an option is.
        case option(String)
        /// Those of an input from one dimension up to another, which count from the end where negative; nil is the end.
        /// As they are, or as one: their product.
        case input(String, from: Int, to: Int?, isProduct: Bool)
    }

    let source: Source
    /// What each is divided by.
    var divisor = 1
    /// They are part of the shape where all of them hold.
    var conditions: [Condition] = []

    /// All sizes of an input.
    static func all<Array>(of input: Input<Array>) -> Sizes { slice(input, 0, nil) }
    /// All sizes but the last.
    static func leading<Array>(of input: Input<Array>) -> Sizes { slice(input, 0, -1) }
    /// The last size: a row's length.
    static func last<Array>(of input: Input<Array>) -> Sizes { slice(input, -1, nil) }
    /// The number of rows: the product of all sizes but the last.
    static func rows<Array>(of input: Input<Array>) -> Sizes { slice(input, 0, -1, isProduct: true) }
    /// The number of elements: the product of all sizes.
    static func count<Array>(of input: Input<Array>) -> Sizes { slice(input, 0, nil, isProduct: true) }
    /// The size of a dimension.
    static func size<Array>(_ dimension: Int, of input: Input<Array>) -> Sizes {
        slice(input, dimension, dimension + 1)
    }
    static func constant(_ size: Int) -> Sizes { Sizes(source: .constant(size)) }
    /// The whole number that an option is.
    static func option(_ option: Option<Int>) -> Sizes { Sizes(source: .option(option.name)) }

    private static func slice<Array>(
        _ input: Input<Array>, _ from: Int, _ to: Int?, isProduct: Bool = false
    ) -> Sizes {
        Sizes(source: .input(input.name, from: from, to: to, isProduct: isProduct))
    }

    /// The same, divided by a number.
    func divided(by divisor: Int) -> Sizes {
        var result = self
        result.divisor = divisor
        return result
    }

    /// The same, where a condition holds; else nothing.
    func when(_ condition: Condition) -> Sizes {
        var result = self
        result.conditions.append(condition)
        return result
    }
}

/// The type of an output's elements.
enum OutputType: Sendable {
    case always(DType)
    /// That of the first of these inputs that is given.
    case like([String])

    static let f32 = OutputType.always(.f32)
    static let i32 = OutputType.always(.i32)
    static func of<Array>(_ input: Input<Array>) -> OutputType { .like([input.name]) }
    static func of<A, B>(_ input: Input<A>, else other: Input<B>) -> OutputType {
        .like([input.name, other.name])
    }
}

/// What a part of a signature depends on.
enum Condition: Sendable {
    case given(input: String)
    case absent(input: String)
    /// An input is given, and of a type.
    case holds(input: String, DType)
    /// A flag that is on, or a number that is not 0.
    case on(option: String)
    /// A whole number that has all bits of another.
    case bits(option: String, Int)
    case word(option: String, String)
    /// One of them at least.
    case any([Condition])

    static func given<Array>(_ input: Input<Array>) -> Condition { .given(input: input.name) }
    static func absent<Array>(_ input: Input<Array>) -> Condition { .absent(input: input.name) }
    static func holds<Array>(_ input: Input<Array>, _ type: DType) -> Condition {
        .holds(input: input.name, type)
    }
    static func on(_ option: Option<Bool>) -> Condition { .on(option: option.name) }
    static func isNotZero(_ option: Option<Float>) -> Condition { .on(option: option.name) }
    static func has<Bits: RawRepresentable<Int>>(_ bits: Bits, in option: Option<Bits>) -> Condition {
        .bits(option: option.name, bits.rawValue)
    }
    static func `is`<Word: RawRepresentable<String>>(_ option: Option<Word>, _ word: Word) -> Condition {
        .word(option: option.name, word.rawValue)
    }
}
