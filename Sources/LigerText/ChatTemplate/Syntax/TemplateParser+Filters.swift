// Filters and tests.
extension TemplateParser {
    mutating func parseFiltersAndTests(into links: inout [TemplateExpression.Link]) throws {
        while true {
            let place = current.place
            if skip(.mark(.pipe)) {
                links.append(try parseFilter())
            } else if isName("is") {
                links.append(try parseTest())
            } else if skip(.mark(.openParenthesis)) {
                links.append(TemplateExpression.Link(kind: .call(try parseArguments()), place: place))
            } else {
                return
            }
        }
    }

    /// A filter's name and arguments, after the bar.
    mutating func parseFilter() throws -> TemplateExpression.Link {
        let place = current.place
        let name = try dottedName("a filter's name")
        guard let filter = TemplateFilter(rawValue: name) else {
            throw unsupported("the filter \(name.quoted)", at: place)
        }
        let arguments = skip(.mark(.openParenthesis)) ? try parseArguments() : TemplateExpression.Arguments()
        try check(filter, arguments, at: place)
        return TemplateExpression.Link(kind: .filter(filter, arguments), place: place)
    }

    private func check(
        _ filter: TemplateFilter, _ arguments: TemplateExpression.Arguments, at place: SourcePlace
    ) throws {
        if let problem = filter.signature.problem(arguments) {
            throw unsupported("\(filter.rawValue) with \(problem)", at: place)
        }
        // Names of filters and tests among the arguments are known here when they are written out, as they mostly are.
        func text(_ index: Int) -> String? {
            guard index < arguments.positional.count,
                case .string(let text) = arguments.positional[index].kind
            else { return nil }
            return text
        }
        switch filter {
        case .map:
            if let name = text(0), TemplateFilter(rawValue: name) == nil {
                throw unsupported("the filter \(name.quoted)", at: place)
            }
        case .select, .reject, .selectattr, .rejectattr:
            if let name = text(filter == .select || filter == .reject ? 0 : 1),
                TemplateTest(rawValue: name) == nil
            {
                throw unsupported("the test \(name.quoted)", at: place)
            }
        default: break
        }
    }

    private mutating func dottedName(_ expected: String) throws -> String {
        var name = try expectName(expected)
        while skip(.mark(.dot)) { name += "." + (try expectName(expected)) }
        return name
    }

    private mutating func parseTest() throws -> TemplateExpression.Link {
        advance()
        let isNegated = skip(.name("not"))
        let place = current.place
        let name = try dottedName("a test's name")
        guard let test = TemplateTest(rawValue: name) else {
            throw unsupported("the test \(name.quoted)", at: place)
        }
        var arguments = TemplateExpression.Arguments()
        if skip(.mark(.openParenthesis)) {
            arguments = try parseArguments()
        } else if takesBareArgument() {
            arguments.positional.append(try nested { try $0.parseBareArgument() })
        }
        if let problem = test.signature.problem(arguments) {
            throw unsupported("\(name) with \(problem)", at: place)
        }
        return TemplateExpression.Link(kind: .test(test, arguments, isNegated: isNegated), place: place)
    }

    private func takesBareArgument() -> Bool {
        switch current.kind {
        case .name(let name): !["else", "or", "and"].contains(name)
        case .string, .integer, .float, .mark(.openBracket), .mark(.openBrace): true
        default: false
        }
    }

    private mutating func parseBareArgument() throws -> TemplateExpression {
        if isName("is") {
            throw malformed("a test after a test", "put the first into brackets", at: current.place)
        }
        let value = try parsePrimary()
        var links: [TemplateExpression.Link] = []
        try parseLinks(of: value, into: &links)
        return links.isEmpty ? value : TemplateExpression(kind: .chain(value, links), place: value.place)
    }
}
