/// One rendering of a template: its variables, its output, what it has taken so far.
///
/// Works through the tree by recursion, whose depth is bounded.
final class TemplateRenderer {
    let syntax: TemplateSyntax
    let budget: TemplateBudget
    let date: ChatDate?
    /// Variables that the caller gave, by symbol.
    private var given: [TemplateValue?]
    private(set) var output = ""
    private(set) var generated: [Range<Int>] = []
    private let loopName: TemplateSymbol?
    /// The names by which a macro asks for arguments that have no parameter.
    let (moreName, moreNamedName): (TemplateSymbol?, TemplateSymbol?)
    /// Objects that can hold each other in a circle. They are emptied at the end, so that no memory stays behind.
    private var scopes: [TemplateScope] = []
    private var namespaces: [TemplateNamespace] = []

    /// How the run of a block ended.
    enum Outcome { case finished, leaveLoop, nextTurn }

    init(
        _ syntax: TemplateSyntax, variables: [String: TemplateValue], date: ChatDate?,
        limits: ChatTemplate.Limits
    ) {
        (self.syntax, self.date) = (syntax, date)
        budget = TemplateBudget(limits)
        given = syntax.names.map { variables[$0] }
        loopName = syntax.names.firstIndex(of: "loop")
        moreName = syntax.names.firstIndex(of: "varargs")
        moreNamedName = syntax.names.firstIndex(of: "kwargs")
    }

    /// Renders the whole template.
    ///
    /// - Throws: `ChatTemplateError`.
    func run() throws {
        defer {
            for scope in scopes { scope.removeAll() }
            for namespace in namespaces { namespace.attributes = [] }
        }
        _ = try execute(syntax.body, in: TemplateScope(in: nil))
    }

    func value(of name: TemplateSymbol, in scope: TemplateScope) -> TemplateValue {
        if let value = scope[name] ?? given[name] { return value }
        let text = syntax.names[name]
        if let function = TemplateFunction(rawValue: text) { return .function(function) }
        return .undefined(TemplateValue.Missing(name: text))
    }

    func makeNamespace() throws -> TemplateNamespace {
        try budget.take(elements: 4)
        let namespace = TemplateNamespace()
        namespaces.append(namespace)
        return namespace
    }

    func write(_ text: String) throws {
        guard output.utf8.count + text.utf8.count <= budget.limits.textBytes else {
            throw TemplateBudget.excess("a text of more than \(budget.limits.textBytes) bytes")
        }
        output += text
    }

    /// The text that `body` writes, which does not reach the output.
    func captured(_ body: () throws -> Void) throws -> String {
        let outer = output
        output = ""
        defer { output = outer }
        try body()
        try budget.take(bytes: output.utf8.count)
        return output
    }

    /// Runs `body` one level deeper, and gives errors that have no place the one given.
    func nested<Result>(at place: SourcePlace, _ body: () throws -> Result) throws -> Result {
        budget.depth += 1
        defer { budget.depth -= 1 }
        do {
            try budget.step()
            if budget.depth > budget.limits.depth {
                throw TemplateBudget.excess("expressions and macros more than \(budget.limits.depth) deep")
            }
            return try body()
        } catch let failure as TemplateFailure {
            throw failure.placed(at: place, in: syntax.source)
        }
    }
}

extension TemplateRenderer {
    func execute(_ body: [TemplateStatement], in scope: TemplateScope) throws -> Outcome {
        for statement in body {
            let outcome = try nested(at: statement.place) { try execute(statement.kind, in: scope) }
            if outcome != .finished { return outcome }
        }
        return .finished
    }

    private func execute(_ statement: TemplateStatement.Kind, in scope: TemplateScope) throws -> Outcome {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(TemplateText.string(evaluate(expression, in: scope), budget))
        case .branch(let branches, let otherwise):
            for branch in branches where try evaluate(branch.test, in: scope).isTrue {
                return try execute(branch.body, in: scope)
            }
            return try execute(otherwise, in: scope)
        case .loop(let loop): return try execute(loop, in: scope)
        case .assign(let target, let value): try assign(evaluate(value, in: scope), to: target, in: scope)
        case .capture(let target, let filters, let body):
            return try capture(body, filters, in: scope) { try assign($0, to: target, in: scope) }
        case .macro(let macro):
            scopes.append(scope)
            try budget.take(elements: 1)
            scope[macro.name] = .macro(TemplateMacro(macro, in: scope))
        case .filter(let filters, let body):
            return try capture(body, filters, in: scope) { try write(TemplateText.string($0, budget)) }
        case .with(let values, let body):
            let inner = TemplateScope(in: scope)
            for (target, value) in values { try assign(evaluate(value, in: scope), to: target, in: inner) }
            return try execute(body, in: inner)
        case .generation(let body):
            let start = output.utf8.count
            _ = try execute(body, in: TemplateScope(in: scope))
            generated.append(start..<output.utf8.count)
        case .leaveLoop: return .leaveLoop
        case .nextTurn: return .nextTurn
        }
        return .finished
    }

    /// Runs a body whose text goes through filters to `use`; one that leaves a loop writes nothing.
    private func capture(
        _ body: [TemplateStatement], _ filters: [TemplateExpression.Link], in scope: TemplateScope,
        _ use: (TemplateValue) throws -> Void
    ) throws -> Outcome {
        var outcome = Outcome.finished
        let text = try captured { outcome = try execute(body, in: TemplateScope(in: scope)) }
        guard outcome == .finished else { return outcome }
        try use(try apply(filters, to: .string(text), in: scope))
        return .finished
    }

    private func execute(_ loop: TemplateStatement.Loop, in scope: TemplateScope) throws -> Outcome {
        var items = try evaluate(loop.sequence, in: scope).elements(budget)
        if let condition = loop.condition {
            items = try items.filter { item in
                let inner = TemplateScope(in: scope)
                try assign(item, to: loop.target, in: inner)
                return try evaluate(condition, in: inner).isTrue
            }
        }
        let state = try TemplateLoop(items)
        // As in Jinja, `else` runs where no turn reached its end, be it for `break` or `continue`.
        var hasFinishedTurn = false
        for (index, item) in items.enumerated() {
            try budget.step()
            state.index = index
            let inner = TemplateScope(in: scope)
            try assign(item, to: loop.target, in: inner)
            if let loopName { inner[loopName] = .loop(state) }
            let outcome = try execute(loop.body, in: inner)
            if outcome == .leaveLoop { break }
            if outcome == .finished { hasFinishedTurn = true }
        }
        return hasFinishedTurn ? .finished : try execute(loop.otherwise, in: TemplateScope(in: scope))
    }

    private func assign(
        _ value: TemplateValue, to target: TemplateStatement.Target, in scope: TemplateScope
    ) throws {
        switch target {
        case .name(let name): scope[name] = value
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace) = self.value(of: name, in: scope) else {
                throw TemplateFailure.undefinedOperation(
                    "an attribute set on \(syntax.names[name].quoted), which is no namespace")
            }
            try budget.step(namespace.attributes.count >> 3)
            namespace[attribute] = value
        case .tuple(let targets):
            let parts = try value.elements(budget)
            guard parts.count == targets.count else {
                throw TemplateFailure.undefinedOperation("\(parts.count) values for \(targets.count) names")
            }
            for (part, target) in zip(parts, targets) { try assign(part, to: target, in: scope) }
        }
    }
}
