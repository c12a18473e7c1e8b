extension TemplateParser {
    /// Statements up to a tag of `ends`, whose name is left as the current token; of the whole template where there are none.
    ///
    /// - Parameter opening: the tag that is to be closed, with its place.
    mutating func parseBody(
        until ends: [String], of opening: (tag: String, place: SourcePlace)?
    ) throws -> [TemplateStatement] {
        var body: [TemplateStatement] = []
        while true {
            let token = current
            switch token.kind {
            case .text(let text):
                advance()
                body.append(TemplateStatement(kind: .text(text), place: token.place))
            case .outputBegin:
                advance()
                let value = try parseTuple(until: .outputEnd)
                try expect(.outputEnd, "the end }}")
                body.append(TemplateStatement(kind: .output(value), place: token.place))
            case .blockBegin:
                advance()
                if case .name(let name) = current.kind, ends.contains(name) { return body }
                body.append(try nested { try $0.parseStatement() })
            default:
                guard let opening else { return body }
                throw malformed(
                    "\(opening.tag.quoted) without its end", "close it with {% \(ends.last ?? "") %}",
                    at: opening.place)
            }
        }
    }

    private mutating func parseStatement() throws -> TemplateStatement {
        let place = current.place
        let tag = try expectName("a tag's name")
        let kind: TemplateStatement.Kind
        switch tag {
        case "if": kind = try parseBranch(at: place)
        case "for": kind = try parseLoop(at: place)
        case "set": kind = try parseAssignment(at: place)
        case "macro": kind = try parseMacro(at: place)
        case "filter": kind = try parseFilterBlock(at: place)
        case "with": kind = try parseWith(at: place)
        case "generation": kind = try parseGeneration(at: place)
        case "break", "continue":
            guard context.isInLoop else {
                throw malformed(
                    "\(tag.quoted) outside of a loop", "it belongs into the body of a for", at: place)
            }
            try endTag()
            kind = tag == "break" ? .leaveLoop : .nextTurn
        case "autoescape", "block", "call", "do", "extends", "from", "import", "include", "print", "trans",
            "debug":
            throw unsupported("the tag \(tag.quoted)", at: place)
        default:
            throw malformed(
                "the tag \(tag.quoted)", "no tag of this name is to be opened or closed here", at: place)
        }
        return TemplateStatement(kind: kind, place: place)
    }

    private mutating func endTag() throws { try expect(.blockEnd, "the tag's end %}") }

    /// The body of a tag, and the name of what ends it, which is read with its own end unless more may follow.
    private mutating func block(
        _ tag: String, at place: SourcePlace, until ends: String...
    ) throws -> (body: [TemplateStatement], end: String) {
        _ = skip(.mark(.colon))
        try endTag()
        let body = try parseBody(until: ends, of: (tag, place))
        let end = try expectName("a tag's name")
        if end == ends.last { try endTag() }
        return (body, end)
    }

    private mutating func parseBranch(at place: SourcePlace) throws -> TemplateStatement.Kind {
        var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
        while true {
            let test = try parseTuple(until: .blockEnd, allowingConditional: false)
            let (body, end) = try block("if", at: place, until: "elif", "else", "endif")
            branches.append((test, body))
            switch end {
            case "elif": continue
            case "else":
                return .branch(branches, otherwise: try block("else", at: place, until: "endif").body)
            default: return .branch(branches, otherwise: [])
            }
        }
    }

    private mutating func parseLoop(at place: SourcePlace) throws -> TemplateStatement.Kind {
        openLoops += 1
        defer { openLoops -= 1 }
        let target = try parseTarget(until: "in")
        guard skip(.name("in")) else { throw unexpected("\"in\"") }
        let sequence = try parseTuple(until: .blockEnd, orName: "recursive", allowingConditional: false)
        let condition = skip(.name("if")) ? try parseExpression() : nil
        if isName("recursive") { throw unsupported("a recursive loop", at: current.place) }
        let outer = context
        context.isInLoop = true
        let (body, end) = try block("for", at: place, until: "else", "endfor")
        context.isInLoop = outer.isInLoop
        let otherwise = end == "else" ? try block("else", at: place, until: "endfor").body : []
        return .loop(
            TemplateStatement.Loop(
                target: target, sequence: sequence, condition: condition, body: body, otherwise: otherwise))
    }

    private mutating func parseAssignment(at place: SourcePlace) throws -> TemplateStatement.Kind {
        let target = try parseTarget(until: nil, allowingAttributes: true)
        if skip(.mark(.assign)) {
            let value = try parseTuple(until: .blockEnd)
            try endTag()
            return .assign(target, value)
        }
        let filters = try parseFilters()
        return .capture(target, filters, try redirected("set", at: place, until: "endset"))
    }

    private mutating func parseFilterBlock(at place: SourcePlace) throws -> TemplateStatement.Kind {
        let first = try parseFilter()
        let filters = [first] + (try parseFilters())
        return .filter(filters, try redirected("filter", at: place, until: "endfilter"))
    }

    private mutating func parseFilters() throws -> [TemplateExpression.Link] {
        var filters: [TemplateExpression.Link] = []
        while skip(.mark(.pipe)) { filters.append(try parseFilter()) }
        return filters
    }

    /// The body of a block whose text does not go where it stands.
    private mutating func redirected(
        _ tag: String, at place: SourcePlace, until end: String
    ) throws -> [TemplateStatement] {
        let outer = context.redirecting
        context.redirecting = tag
        defer { context.redirecting = outer }
        return try block(tag, at: place, until: end).body
    }

    private mutating func parseWith(at place: SourcePlace) throws -> TemplateStatement.Kind {
        var values: [(target: TemplateStatement.Target, value: TemplateExpression)] = []
        while current.kind != .blockEnd, !isMark(.colon) {
            if !values.isEmpty { try expect(.mark(.comma), "a comma") }
            let target = try parseTarget(until: nil)
            try expect(.mark(.assign), "=")
            values.append((target, try parseExpression()))
        }
        return .with(values, try block("with", at: place, until: "endwith").body)
    }

    /// A call block in transformers, hence a scope of its own that no `break` leaves. What it measures is the text before the
    /// block, which is known only where the text goes to the output.
    private mutating func parseGeneration(at place: SourcePlace) throws -> TemplateStatement.Kind {
        if let redirecting = context.redirecting {
            throw unsupported("generation within \(redirecting)", at: place)
        }
        hasGenerationTags = true
        let outer = context
        context.isInLoop = false
        context.redirecting = "generation"
        defer { context = outer }
        return .generation(try block("generation", at: place, until: "endgeneration").body)
    }
}

// Macros and targets.
extension TemplateParser {
    private mutating func parseMacro(at place: SourcePlace) throws -> TemplateStatement.Kind {
        let name = symbol(try expectName("the macro's name"))
        assigned.insert(name)
        var parameters: [(name: TemplateSymbol, fallback: TemplateExpression?)] = []
        try expect(.mark(.openParenthesis), "(")
        while !isMark(.closeParenthesis) {
            if !parameters.isEmpty { try expect(.mark(.comma), "a comma") }
            parameters.append(try parseParameter(after: parameters))
        }
        advance()
        let outer = context
        context = Context(redirecting: "a macro", isInMacro: true)
        let body = try block("macro", at: place, until: "endmacro").body
        let takes = context.macroTakes
        context = outer
        return .macro(
            TemplateStatement.Macro(name: name, parameters: parameters, body: body, takesMore: takes))
    }

    private mutating func parseParameter(
        after parameters: [(name: TemplateSymbol, fallback: TemplateExpression?)]
    ) throws -> (name: TemplateSymbol, fallback: TemplateExpression?) {
        let place = current.place
        let name = try expectName("a parameter's name")
        guard name != "caller" else { throw unsupported("a macro with a caller", at: place) }
        guard parameters.count < Self.maximumNames else {
            throw unsupported("a macro with more than \(Self.maximumNames) parameters", at: place)
        }
        let symbol = symbol(name)
        assigned.insert(symbol)
        guard !parameters.contains(where: { $0.name == symbol }) else {
            throw malformed("the parameter \(name.quoted) a second time", "choose another name", at: place)
        }
        if skip(.mark(.assign)) { return (symbol, try parseExpression()) }
        guard parameters.last?.fallback == nil else {
            throw malformed(
                "a parameter without a default after one with", "give \(name) a default", at: place)
        }
        return (symbol, nil)
    }

    /// What is assigned to: a name, several with commas, with `set` also an attribute of a namespace.
    private mutating func parseTarget(
        until end: String?, allowingAttributes: Bool = false
    ) throws -> TemplateStatement.Target {
        var targets: [TemplateStatement.Target] = []
        var isTuple = false
        repeat {
            if let end, isName(end) { break }
            targets.append(try parseSingleTarget(allowingAttributes: allowingAttributes))
            guard skip(.mark(.comma)) else { break }
            isTuple = true
        } while !isMark(.assign) && current.kind != .blockEnd
        guard let first = targets.first else { throw unexpected("a name") }
        return isTuple ? .tuple(targets) : first
    }

    private mutating func parseSingleTarget(allowingAttributes: Bool) throws -> TemplateStatement.Target {
        if skip(.mark(.openParenthesis)) {
            let target = try nested { try $0.parseTarget(until: nil, allowingAttributes: allowingAttributes) }
            try expect(.mark(.closeParenthesis), ")")
            return target
        }
        let place = current.place
        let name = try expectName("a name to assign to")
        guard !["true", "false", "none", "True", "False", "None"].contains(name),
            openLoops == 0 || name != "loop"
        else {
            throw malformed("an assignment to \(name)", "choose another name", at: place)
        }
        let symbol = symbol(name)
        if allowingAttributes, skip(.mark(.dot)) {
            let attribute = try expectName("an attribute's name")
            guard !attribute.hasPrefix("_") else {
                throw unsupported("the attribute \(attribute.quoted) of a namespace", at: place)
            }
            return .attribute(symbol, attribute)
        }
        assigned.insert(symbol)
        return .name(symbol)
    }
}
