/// The arguments of a call, evaluated.
struct TemplateArguments {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []

    /// The argument of a signature's parameter, by place or by name.
    func value(_ name: String, _ signature: TemplateSignature) -> TemplateValue? {
        if let index = signature.parameters.firstIndex(of: name), index < positional.count {
            return positional[index]
        }
        return named.first { $0.name == name }?.value
    }
}

/// Arguments by the parameters of what is called, with checks of their types.
struct TemplateCall {
    private let arguments: TemplateArguments
    private let signature: TemplateSignature
    private let name: String

    init(_ name: String, _ arguments: TemplateArguments, _ signature: TemplateSignature) throws {
        (self.name, self.arguments, self.signature) = (name, arguments, signature)
        // What is called by a name that the source does not show is checked here.
        let shape = TemplateExpression.Arguments(
            positional: arguments.positional.map { _ in
                TemplateExpression(kind: .none, place: .init(line: 0, column: 0))
            },
            named: arguments.named.map {
                ($0.name, TemplateExpression(kind: .none, place: .init(line: 0, column: 0)))
            })
        if let problem = signature.problem(shape) {
            throw TemplateFailure.unsupported("\(name) with \(problem)")
        }
    }

    subscript(parameter: String) -> TemplateValue? { arguments.value(parameter, signature) }

    /// An argument that may be absent or none.
    func optional(_ parameter: String) -> TemplateValue? {
        guard let value = self[parameter] else { return nil }
        if case .none = value { return nil }
        return value
    }

    func text(_ parameter: String) throws -> String? {
        guard let value = optional(parameter) else { return nil }
        guard let text = value.text else { throw wrong(parameter, value, "a string") }
        return text
    }

    func integer(_ parameter: String) throws -> Int? {
        guard let value = optional(parameter) else { return nil }
        guard let index = value.index else { throw wrong(parameter, value, "a whole number") }
        return index
    }

    func flag(_ parameter: String) -> Bool { self[parameter]?.isTrue ?? false }

    func wrong(_ parameter: String, _ value: TemplateValue, _ expected: String) -> TemplateFailure {
        TemplateFailure.undefinedOperation(
            "the argument \(parameter.quoted) of \(name) as a value of type \(value.typeName) where \(expected) is expected"
        )
    }
}
