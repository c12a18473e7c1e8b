/// A name of a template's variable: its index in the parsed template's `names`.
typealias TemplateSymbol = Int

/// An expression, with the place of its first token.
///
/// Operators of one rank are lists, not trees, so that a chain of any length is evaluated without recursion and the depth
/// of a tree is the depth of brackets in the source.
struct TemplateExpression: Sendable {
    indirect enum Kind: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case float(Double)
        case string(String)
        case name(TemplateSymbol)
        case list([TemplateExpression])
        case tuple([TemplateExpression])
        case mapping([(key: TemplateExpression, value: TemplateExpression)])
        case not(TemplateExpression)
        case negative(TemplateExpression)
        case positive(TemplateExpression)
        case arithmetic(TemplateExpression, [(operation: Arithmetic, operand: TemplateExpression)])
        case concatenation([TemplateExpression])
        case comparison(TemplateExpression, [(comparison: Comparison, operand: TemplateExpression)])
        case all([TemplateExpression])
        case any([TemplateExpression])
        case conditional(TemplateExpression, test: TemplateExpression, otherwise: TemplateExpression?)
        case chain(TemplateExpression, [Link])
    }

    enum Arithmetic: String, Sendable {
        case add = "+", subtract = "-", multiply = "*", divide = "/", floorDivide = "//", modulo = "%"
        case power = "**"
    }

    enum Comparison: String, Sendable {
        case equal = "==", unequal = "!=", less = "<", atMost = "<=", greater = ">", atLeast = ">="
        case isIn = "in", isNotIn = "not in"
    }

    /// What follows a value: `.name`, `[index]`, `(arguments)`, `| filter` or `is test`.
    struct Link: Sendable {
        enum Kind: Sendable {
            case attribute(String)
            case item(TemplateExpression)
            case slice(TemplateExpression?, TemplateExpression?, step: TemplateExpression?)
            case call(Arguments)
            case filter(TemplateFilter, Arguments)
            case test(TemplateTest, Arguments, isNegated: Bool)
        }

        var kind: Kind
        var place: SourcePlace
    }

    struct Arguments: Sendable {
        var positional: [TemplateExpression] = []
        var named: [(name: String, value: TemplateExpression)] = []
    }

    var kind: Kind
    var place: SourcePlace
}

/// A statement of a template.
struct TemplateStatement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case branch([(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(Loop)
        case assign(Target, TemplateExpression)
        /// `{% set x %}...{% endset %}`, with the filters that its text goes through.
        case capture(Target, [TemplateExpression.Link], [TemplateStatement])
        case macro(Macro)
        case filter([TemplateExpression.Link], [TemplateStatement])
        case with([(target: Target, value: TemplateExpression)], [TemplateStatement])
        case generation([TemplateStatement])
        case leaveLoop
        case nextTurn
    }

    /// What a value is assigned to.
    indirect enum Target: Sendable {
        case name(TemplateSymbol)
        /// `namespace.attribute`
        case attribute(TemplateSymbol, String)
        case tuple([Target])
    }

    struct Loop: Sendable {
        var target: Target
        var sequence: TemplateExpression
        var condition: TemplateExpression?
        var body: [TemplateStatement]
        var otherwise: [TemplateStatement]
    }

    final class Macro: Sendable {
        let name: TemplateSymbol
        let parameters: [(name: TemplateSymbol, fallback: TemplateExpression?)]
        let body: [TemplateStatement]
        /// Whether the body asks for arguments that have no parameter, by `varargs` and `kwargs`.
        let takesMore: (positional: Bool, named: Bool)

        init(
            name: TemplateSymbol, parameters: [(name: TemplateSymbol, fallback: TemplateExpression?)],
            body: [TemplateStatement], takesMore: (positional: Bool, named: Bool)
        ) {
            (self.name, self.parameters, self.body, self.takesMore) = (name, parameters, body, takesMore)
        }
    }

    var kind: Kind
    var place: SourcePlace
}

/// A parsed template.
struct TemplateSyntax: Sendable {
    /// Names the template in errors.
    var source: String
    var body: [TemplateStatement]
    /// The text of each symbol.
    var names: [String]
    var hasGenerationTags: Bool
    var readsDate: Bool
}
