extension TemplateRenderer {
    func test(_ value: TemplateValue, by test: TemplateTest, _ arguments: TemplateArguments) throws -> Bool {
        let call = try TemplateCall(test.rawValue, arguments, test.signature)
        if let comparison = test.comparison {
            return try value.compare(comparison, call["other"] ?? .none, budget)
        }
        switch test {
        case .in: return try (call["seq"] ?? .none).contains(value, budget)
        case .odd, .even, .divisibleby:
            let divisor = test == .divisibleby ? call["num"] ?? .none : .integer(2)
            let rest = try value.combined(.modulo, divisor, budget)
            return try rest.equals(.integer(test == .odd ? 1 : 0), budget)
        case .lower, .upper:
            let text = TemplateValue.string(try TemplateText.string(value, budget))
            let method = test == .lower ? TemplateMethod.islower : .isupper
            return try self.call(method, of: text, TemplateArguments()).isTrue
        case .filter: return value.text.map { TemplateFilter(rawValue: $0) != nil } ?? false
        case .test: return value.text.map { TemplateTest(rawValue: $0) != nil } ?? false
        case .sameas: return try isSame(value, call["other"] ?? .none)
        default: return hasKind(value, test)
        }
    }

    /// Tests of a value's type.
    private func hasKind(_ value: TemplateValue, _ test: TemplateTest) -> Bool {
        switch (test, value) {
        case (.undefined, .undefined), (.none, .none), (.boolean, .bool), (.integer, .integer),
            (.float, .float),
            (.mapping, .mapping), (.string, .string), (.string, .markup), (.escaped, .markup):
            return true
        case (.defined, .undefined): return false
        case (.defined, _): return true
        case (.true, .bool(let value)): return value
        case (.false, .bool(let value)): return !value
        case (.number, .bool), (.number, .integer), (.number, .float): return true
        case (.sequence, .undefined), (.sequence, .string), (.sequence, .markup), (.sequence, .list),
            (.sequence, .tuple), (.sequence, .mapping), (.sequence, .range):
            return true
        case (.iterable, .view), (.iterable, .iterator), (.iterable, .loop): return true
        case (.iterable, _): return hasKind(value, .sequence)
        // In Python a missing value can be called too: that is when it fails.
        case (.callable, .undefined), (.callable, .macro), (.callable, .method), (.callable, .function),
            (.callable, .loop):
            return true
        default: return false
        }
    }

    /// Identity, which only values have that exist once.
    private func isSame(_ value: TemplateValue, _ other: TemplateValue) throws -> Bool {
        switch (value, other) {
        case (.none, .none): return true
        case (.bool(let left), .bool(let right)): return left == right
        case (.none, _), (_, .none), (.bool, _), (_, .bool): return false
        case (.namespace(let left), .namespace(let right)): return left === right
        default: throw TemplateFailure.unsupported("sameas of other values than true, false and none")
        }
    }
}
