/// Parses a template, and refuses what is beyond the supported part of Jinja with its place.
///
/// A recursive descent with Jinja's own ranks of operators. Depth of brackets and blocks is bounded, so a hostile
/// source cannot exhaust the stack, here or when the tree is walked.
struct TemplateParser {
    /// The deepest nesting of blocks and brackets together.
    static let maximumDepth = 80
    /// The most arguments of a call that have names, and parameters of a macro.
    static let maximumNames = 256

    let source: String
    private let tokens: [TemplateToken]
    private var index = 0
    private var depth = 0
    private var symbols: [String: TemplateSymbol] = [:]
    private var names: [String] = []
    var context = Context()
    /// How many loops are open, through macros and all: within them `loop` is not to be assigned to.
    var openLoops = 0
    var hasGenerationTags = false
    /// Names that something assigns to, and functions that are called by name: the ones must be among the others, or known.
    var assigned: Set<TemplateSymbol> = []
    var called: [(name: TemplateSymbol, place: SourcePlace, arguments: TemplateExpression.Arguments)] = []

    /// What the statement that is parsed stands in.
    struct Context {
        var isInLoop = false
        /// The macro, filter or captured block whose text is not written where it stands.
        var redirecting: String?
        var isInMacro = false
        var macroTakes = (positional: false, named: false)
    }

    init(_ text: String, source: String) throws {
        self.source = source
        var lexer = try TemplateLexer(text, source: source)
        tokens = try lexer.readTokens()
    }

    mutating func parse() throws -> TemplateSyntax {
        let body = try parseBody(until: [], of: nil)
        try checkCalls()
        let dateNow = symbols[TemplateFunction.dateNow.rawValue]
        return TemplateSyntax(
            source: source, body: body, names: names, hasGenerationTags: hasGenerationTags,
            readsDate: called.contains { $0.name == dateNow })
    }

    /// Calls of functions that nothing defines cannot succeed, and none of those that are known takes other arguments.
    private func checkCalls() throws {
        for (symbol, place, arguments) in called where !assigned.contains(symbol) {
            let name = names[symbol]
            guard let function = TemplateFunction(rawValue: name) else {
                throw unsupported("the function \(name.quoted)", at: place)
            }
            if let problem = function.signature.problem(arguments) {
                throw unsupported("\(name) with \(problem)", at: place)
            }
        }
    }
}

// The stream of tokens.
extension TemplateParser {
    var current: TemplateToken { tokens[index] }
    var following: TemplateToken { tokens[min(index + 1, tokens.count - 1)] }

    @discardableResult
    mutating func advance() -> TemplateToken {
        defer { index = min(index + 1, tokens.count - 1) }
        return tokens[index]
    }

    mutating func skip(_ kind: TemplateToken.Kind) -> Bool {
        guard current.kind == kind else { return false }
        advance()
        return true
    }

    func isMark(_ mark: TemplateToken.Mark) -> Bool { current.kind == .mark(mark) }
    func isName(_ name: String) -> Bool { current.kind == .name(name) }

    mutating func expect(_ kind: TemplateToken.Kind, _ expected: String) throws {
        guard skip(kind) else { throw unexpected(expected) }
    }

    mutating func expectName(_ expected: String) throws -> String {
        guard case .name(let name) = current.kind else { throw unexpected(expected) }
        advance()
        return name
    }

    mutating func symbol(_ name: String) -> TemplateSymbol {
        if let symbol = symbols[name] { return symbol }
        symbols[name] = names.count
        names.append(name)
        return names.count - 1
    }

    func name(of symbol: TemplateSymbol) -> String { names[symbol] }

    /// Runs `body` one level deeper.
    mutating func nested<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
        guard depth < Self.maximumDepth else {
            throw ChatTemplateError(
                .excessive, source: source, at: current.place,
                found: "blocks and brackets nested more than \(Self.maximumDepth) deep",
                advice: "write the template with less nesting")
        }
        depth += 1
        defer { depth -= 1 }
        return try body(&self)
    }

    func unexpected(_ expected: String) -> ChatTemplateError {
        ChatTemplateError(
            .malformed, source: source, at: current.place, found: current.summary,
            advice: "\(expected) is expected here")
    }

    func unsupported(_ found: String, at place: SourcePlace) -> ChatTemplateError {
        ChatTemplateError(
            .unsupported, source: source, at: place, found: "\(found) is not supported",
            advice: ChatTemplateError.Kind.unsupportedAdvice)
    }

    func malformed(_ found: String, _ advice: String, at place: SourcePlace) -> ChatTemplateError {
        ChatTemplateError(.malformed, source: source, at: place, found: found, advice: advice)
    }
}
