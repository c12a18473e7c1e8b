extension TemplateRenderer {
    func call(_ value: TemplateValue, _ arguments: TemplateArguments) throws -> TemplateValue {
        switch value {
        case .function(let function): return try call(function, arguments)
        case .macro(let macro): return .string(try call(macro, arguments))
        case .method(let bound): return try call(bound.method, of: bound.receiver, arguments)
        case .undefined(let missing): throw missing.failure
        default: throw TemplateFailure.undefinedOperation("a call of a value of type \(value.typeName)")
        }
    }

    private func call(_ function: TemplateFunction, _ arguments: TemplateArguments) throws -> TemplateValue {
        let call = try TemplateCall(function.rawValue, arguments, function.signature)
        switch function {
        case .dict: return .mapping(try TemplateMapping(members(of: arguments)))
        case .namespace:
            let namespace = try makeNamespace()
            for (key, value) in try members(of: arguments) {
                guard let name = key.text, !name.hasPrefix("_") else {
                    throw TemplateFailure.unsupported("a namespace with an attribute that begins with \"_\"")
                }
                namespace[name] = value
            }
            return .namespace(namespace)
        case .range:
            let bounds = try function.signature.parameters.prefix(arguments.positional.count).map { name in
                guard let bound = try call.integer(name) else {
                    throw call.wrong(name, .none, "a whole number")
                }
                return bound
            }
            return .range(
                bounds.count == 1
                    ? try TemplateRange(from: 0, to: bounds[0], by: 1)
                    : try TemplateRange(from: bounds[0], to: bounds[1], by: bounds.count > 2 ? bounds[2] : 1))
        case .raiseException:
            let message = try TemplateText.string(call["message"] ?? .none, budget)
            throw TemplateFailure(
                .raised, "the template refuses these messages: \(message)",
                advice: "change the messages to what the model's template takes, or give another template")
        case .dateNow:
            guard let format = try call.text("format") else { throw call.wrong("format", .none, "a string") }
            guard let date else {
                throw TemplateFailure(
                    .failed, "the template asks for the date of today, which no run could repeat",
                    advice: "give a date")
            }
            return .string(try date.formatted(format, budget))
        }
    }

    /// What `dict` and `namespace` are made of: a mapping or pairs, then named arguments.
    private func members(of arguments: TemplateArguments) throws -> [(
        key: TemplateValue, value: TemplateValue
    )] {
        guard arguments.positional.count <= 1 else {
            throw TemplateFailure.undefinedOperation("more than one argument without a name")
        }
        var members: [(key: TemplateValue, value: TemplateValue)] = []
        switch arguments.positional.first {
        case nil: break
        case .mapping(let mapping): members = Array(zip(mapping.keys, mapping.values)).map { ($0, $1) }
        case let pairs?:
            members = try pairs.elements(budget).map { pair in
                let parts = try pair.elements(budget)
                guard parts.count == 2 else {
                    throw TemplateFailure.undefinedOperation("a pair of \(parts.count) values")
                }
                return (parts[0], parts[1])
            }
        }
        members += arguments.named.map { (.string($0.name), $0.value) }
        try budget.take(elements: 2 * members.count)
        return members
    }

    /// The text that a macro writes. Its defaults see the parameters before them.
    private func call(_ macro: TemplateMacro, _ arguments: TemplateArguments) throws -> String {
        let definition = macro.definition
        let parameters = definition.parameters
        let name = syntax.names[definition.name]
        let scope = TemplateScope(in: macro.scope)
        let more = arguments.positional.dropFirst(parameters.count)
        guard more.isEmpty || definition.takesMore.positional else {
            throw TemplateFailure.undefinedOperation(
                "\(arguments.positional.count) arguments for the macro \(name.quoted), which takes \(parameters.count)"
            )
        }
        var named = arguments.named
        for (index, parameter) in parameters.enumerated() {
            let text = syntax.names[parameter.name]
            if index < arguments.positional.count {
                scope[parameter.name] = arguments.positional[index]
            } else if let place = named.firstIndex(where: { $0.name == text }) {
                scope[parameter.name] = named.remove(at: place).value
            } else if let fallback = parameter.fallback {
                scope[parameter.name] = try evaluate(fallback, in: scope)
            } else {
                scope[parameter.name] = .undefined(
                    TemplateValue.Missing(name: text, sentence: "the parameter \(text.quoted) was not given"))
            }
        }
        if let extra = named.first, !definition.takesMore.named {
            throw TemplateFailure.undefinedOperation(
                "the argument \(extra.name.quoted) for the macro \(name.quoted), which does not take it")
        }
        if let moreName { scope[moreName] = try .tuple(Array(more)) }
        if let moreNamedName {
            scope[moreNamedName] = .mapping(try TemplateMapping(named.map { (.string($0.name), $0.value) }))
        }
        return try captured { _ = try execute(definition.body, in: scope) }
    }
}
