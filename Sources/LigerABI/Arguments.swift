import CLigerABI
import LigerRuntime
import Tile

/// An option's value as C gives it.
enum OptionValue {
    case number(Double)
    case text(String)

    init(_ option: liger_option) {
        self = option.text.map { .text(String(cString: $0)) } ?? .number(option.number)
    }
}

/// The named arrays and options of one operation, each asked for by the operation's body. What nobody asked
/// for is an error of the caller.
final class Arguments {
    private let operation: StaticString
    private let arrays: [String: NDArray]
    private let options: [String: OptionValue]
    private var askedArrays: Set<String> = []
    private var askedOptions: Set<String> = []

    init(operation: StaticString, arrays: [String: NDArray], options: [String: OptionValue]) {
        self.operation = operation
        self.arrays = arrays
        self.options = options
    }

    /// An array that must be there.
    func callAsFunction(_ name: String) throws -> NDArray {
        guard let array = optional(name) else {
            throw RuntimeError("\(operation) needs an input '\(name)', which was not given")
        }
        return array
    }

    /// An array that may be left out.
    func optional(_ name: String) -> NDArray? {
        askedArrays.insert(name)
        return arrays[name]
    }

    func number(_ name: String, default value: Double? = nil) throws -> Double {
        askedOptions.insert(name)
        switch options[name] {
        case .number(let number): return number
        case .text(let text):
            throw RuntimeError("\(operation): the option '\(name)' is '\(text)', not a number")
        case nil:
            guard let value else { throw RuntimeError("\(operation) needs an option '\(name)'") }
            return value
        }
    }

    func float(_ name: String, default value: Double? = nil) throws -> Float {
        Float(try number(name, default: value))
    }

    /// A number that may be left out.
    func optionalFloat(_ name: String) throws -> Float? {
        askedOptions.insert(name)
        return options[name] == nil ? nil : try float(name)
    }

    func int(_ name: String, default value: Int? = nil) throws -> Int {
        let number = try number(name, default: value.map { Double($0) })
        guard let int = Int(exactly: number) else {
            throw RuntimeError("\(operation): the option '\(name)' is \(number), not a whole number")
        }
        return int
    }

    /// A whole number that may be left out.
    func optionalInt(_ name: String) throws -> Int? {
        askedOptions.insert(name)
        return options[name] == nil ? nil : try int(name)
    }

    func flag(_ name: String, default value: Bool = false) throws -> Bool {
        try int(name, default: value ? 1 : 0) != 0
    }

    /// One of a few words.
    func choice<T: RawRepresentable & CaseIterable>(
        _ name: String, default value: T
    ) throws -> T where T.RawValue == String {
        askedOptions.insert(name)
        switch options[name] {
        case nil: return value
        case .text(let text):
            if let found = T(rawValue: text) { return found }
            let all = T.allCases.map(\.rawValue).joined(separator: ", ")
            throw RuntimeError("\(operation): the option '\(name)' is '\(text)'. Give one of: \(all)")
        case .number(let number):
            throw RuntimeError("\(operation): the option '\(name)' is \(number), not a word")
        }
    }

    func checkAllWereUsed() throws {
        let inputs = Set(arrays.keys).subtracting(askedArrays).sorted()
        let unknown = Set(options.keys).subtracting(askedOptions).sorted()
        if inputs.isEmpty && unknown.isEmpty { return }
        throw ABIError(
            status: LIGER_UNKNOWN_NAME,
            description: "\(operation) has no "
                + [
                    inputs.isEmpty
                        ? nil
                        : "input \(inputs.joined(separator: ", ")) (it takes "
                            + "\(askedArrays.sorted().joined(separator: ", ")))",
                    unknown.isEmpty
                        ? nil
                        : "option \(unknown.joined(separator: ", ")) (it takes "
                            + "\(askedOptions.sorted().joined(separator: ", ")))",
                ].compactMap(\.self).joined(separator: " and no "))
    }
}
