import CLigerABI
import LigerRuntime

/// An option of a signature.
struct OptionDeclaration: Sendable {
    enum Kind: Sendable {
        case number, whole, wholes, flag
        case word([String])
    }

    enum Requirement: Sendable {
        case required
        /// What it is where it is not given; nil is a value of its own.
        case preset(OptionValue?)
    }

    let name: String
    let kind: Kind
    let requirement: Requirement
}

/// An option's value, of its declared kind.
enum OptionValue: Sendable, Equatable {
    case number(Double)
    case whole(Int)
    case wholes([Int])
    case flag(Bool)
    case word(String)

    // Values are checked when they are read from C, so that these never meet another kind.
    var number: Double { if case .number(let value) = self { value } else { preconditionFailure() } }
    var whole: Int { if case .whole(let value) = self { value } else { preconditionFailure() } }
    var wholes: [Int] { if case .wholes(let value) = self { value } else { preconditionFailure() } }
    var flag: Bool { if case .flag(let value) = self { value } else { preconditionFailure() } }
    var word: String { if case .word(let value) = self { value } else { preconditionFailure() } }
}

extension OptionDeclaration {
    /// What C gave, as a value of this kind.
    func value(_ given: liger_option, of operation: StaticString) throws -> OptionValue {
        let text = given.text.map { String(cString: $0) }
        let found = text.map { "'\($0)'" } ?? "\(given.number)"
        func refusal(_ wanted: String) -> RuntimeError {
            RuntimeError("\(operation): the option '\(name)' is \(found), not \(wanted)")
        }
        switch (kind, text) {
        case (.number, nil): return .number(given.number)
        case (.number, _): throw refusal("a number")
        case (.flag, nil) where given.number == 0 || given.number == 1: return .flag(given.number == 1)
        case (.flag, _): throw refusal("0 or 1")
        case (.whole, nil):
            guard let whole = Int(exactly: given.number) else { throw refusal("a whole number") }
            return .whole(whole)
        case (.whole, _): throw refusal("a whole number")
        case (.wholes, let text?):
            let wholes = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
            guard wholes.allSatisfy({ $0 != nil }) else { throw refusal("whole numbers and commas") }
            return .wholes(wholes.compactMap(\.self))
        case (.wholes, nil): throw refusal("a text of whole numbers and commas")
        case (.word(let words), let text?):
            if words.contains(text) { return .word(text) }
            throw RuntimeError(
                "\(operation): the option '\(name)' is \(found). Give one of: "
                    + words.joined(separator: ", "))
        case (.word, nil): throw refusal("a word")
        }
    }
}
