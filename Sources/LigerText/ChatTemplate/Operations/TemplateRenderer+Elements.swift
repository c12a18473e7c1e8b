// Filters over elements.
extension TemplateRenderer {
    func elements(
        _ value: TemplateValue, by filter: TemplateFilter, _ call: TemplateCall,
        _ arguments: TemplateArguments
    ) throws -> TemplateValue {
        switch filter {
        case .first, .last: return try end(of: value, filter)
        case .reverse: return try reversed(value)
        case .list:
            let items = try value.elements(budget)
            try budget.take(elements: items.count)
            return try .list(items)
        case .join:
            let parts = try value.elements(budget).map {
                try TemplateText.string(keyed($0, by: call.optional("attribute")), budget)
            }
            return .string(try joined(parts, by: TemplateText.string(call["d"] ?? .string(""), budget)))
        case .items:
            if case .undefined = value { return try .iterator([]) }
            guard case .mapping(let mapping) = value else {
                throw TemplateFailure.undefinedOperation("the items of a value of type \(value.typeName)")
            }
            return try .iterator(TemplateValue.view(mapping, .items).elements(budget))
        case .map: return try mapped(value, arguments)
        case .select, .reject, .selectattr, .rejectattr: return try selected(value, by: filter, arguments)
        case .sort: return try sorted(value, call)
        case .dictsort: return try sortedMembers(value, call)
        case .unique: return try unique(value, call)
        default: return try extreme(of: value, filter, call)
        }
    }

    private func end(of value: TemplateValue, _ filter: TemplateFilter) throws -> TemplateValue {
        if filter == .first, case .iterator(let iterator) = value {
            return iterator.next() ?? none(of: filter)
        }
        if filter == .last {
            switch value {
            case .iterator, .loop:
                throw TemplateFailure.undefinedOperation(
                    "the last element of a value of type \(value.typeName)")
            default: break
            }
        }
        let items = try value.elements(budget)
        return (filter == .first ? items.first : items.last) ?? none(of: filter)
    }

    private func none(of filter: TemplateFilter) -> TemplateValue {
        .undefined(TemplateValue.Missing(name: "", sentence: "\(filter.rawValue) of no elements"))
    }

    private func reversed(_ value: TemplateValue) throws -> TemplateValue {
        switch value {
        case .string(let text), .markup(let text):
            try budget.take(bytes: text.utf8.count)
            return .string(String(scalars: text.unicodeScalars.reversed()))
        case .iterator(let iterator): return try .list(iterator.rest().reversed())
        default: return try .iterator(value.elements(budget).reversed())
        }
    }

    /// What an attribute of `map`, `sort` and their like leads to: names and numbers with dots between; without one, the element.
    func keyed(
        _ element: TemplateValue, by attribute: TemplateValue?, fallback: TemplateValue? = nil
    ) throws -> TemplateValue {
        guard let attribute else { return element }
        if case .none = attribute { return element }
        guard let path = attribute.text else { return try item(attribute, of: element) }
        var value = element
        try budget.step(path.utf8.count)
        for part in path.split(separator: ".", omittingEmptySubsequences: false) {
            let isNumber = !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            value = try item(isNumber ? .integer(Int(part) ?? .max) : .string(String(part)), of: value)
            if case .undefined = value, let fallback { value = fallback }
        }
        return value
    }

    private func mapped(_ value: TemplateValue, _ arguments: TemplateArguments) throws -> TemplateValue {
        guard value.isTrue else { return try .iterator([]) }
        let items = try value.elements(budget)
        try budget.take(elements: items.count)
        guard let name = arguments.positional.first else {
            guard let attribute = arguments.named.first(where: { $0.name == "attribute" })?.value,
                arguments.named.allSatisfy({ $0.name == "attribute" || $0.name == "default" })
            else { throw TemplateFailure.undefinedOperation("map without a filter or an attribute") }
            var fallback = arguments.named.first { $0.name == "default" }?.value
            if case .none? = fallback { fallback = nil }
            return try .iterator(items.map { try keyed($0, by: attribute, fallback: fallback) })
        }
        guard let text = name.text, let filter = TemplateFilter(rawValue: text) else {
            throw TemplateFailure.unsupported("the filter \((name.text ?? name.typeName).quoted)")
        }
        var rest = arguments
        rest.positional.removeFirst()
        return try .iterator(items.map { try apply(filter, to: $0, rest) })
    }

    /// One more level, as filters that apply filters nest.
    private func apply(_ filter: TemplateFilter, to value: TemplateValue, _ arguments: TemplateArguments)
        throws -> TemplateValue
    {
        try budget.step()
        budget.depth += 1
        defer { budget.depth -= 1 }
        if budget.depth > budget.limits.depth {
            throw TemplateBudget.excess("filters within filters too deep")
        }
        return try self.filter(value, by: filter, arguments)
    }

    private func selected(
        _ value: TemplateValue, by filter: TemplateFilter, _ arguments: TemplateArguments
    ) throws -> TemplateValue {
        guard value.isTrue else { return try .iterator([]) }
        var rest = arguments
        let hasAttribute = filter == .selectattr || filter == .rejectattr
        let attribute = hasAttribute && !rest.positional.isEmpty ? rest.positional.removeFirst() : nil
        if hasAttribute, attribute == nil {
            throw TemplateFailure.undefinedOperation("\(filter.rawValue) without an attribute")
        }
        var test: TemplateTest?
        if let name = rest.positional.first {
            guard let known = name.text.flatMap(TemplateTest.init) else {
                throw TemplateFailure.unsupported("the test \((name.text ?? name.typeName).quoted)")
            }
            test = known
            rest.positional.removeFirst()
        }
        let isSelecting = filter == .select || filter == .selectattr
        let items = try value.elements(budget)
        try budget.take(elements: items.count)
        return try .iterator(
            items.filter { element in
                try budget.step()
                let tested = try keyed(element, by: attribute)
                return try test.map { try self.test(tested, by: $0, rest) } ?? tested.isTrue == isSelecting
            })
    }
}

// Order.
extension TemplateRenderer {
    private func folded(_ value: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
        guard !call.flag("case_sensitive"), let text = value.text else { return value }
        return .string(try recased(text, .lower))
    }

    /// Stable, by keys that are made once.
    private func sorted(
        _ items: [TemplateValue], reversed: Bool, _ key: (TemplateValue) throws -> TemplateValue
    ) throws -> TemplateValue {
        try budget.take(elements: items.count)
        let keys = try items.map(key)
        let order = try keys.indices.sorted { left, right in
            // Python compares in this direction; equal keys stay in order either way.
            let order = try keys[left].order(keys[right], "<", budget)
            if order == .before { return !reversed }
            if order == .after { return reversed }
            return left < right
        }
        return try .list(order.map { items[$0] })
    }

    private func sorted(_ value: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
        let attributes: [TemplateValue?]
        if let path = call["attribute"]?.text {
            attributes = path.split(separator: ",", omittingEmptySubsequences: false).map {
                .string(String($0))
            }
        } else {
            attributes = [call["attribute"]]
        }
        return try sorted(value.elements(budget), reversed: call.flag("reverse")) { element in
            try .list(attributes.map { try folded(keyed(element, by: $0), call) })
        }
    }

    private func sortedMembers(_ value: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
        guard case .mapping(let mapping) = value else {
            throw TemplateFailure.undefinedOperation("dictsort of a value of type \(value.typeName)")
        }
        let part = try call.text("by") ?? "key"
        guard part == "key" || part == "value" else {
            throw TemplateFailure.undefinedOperation("dictsort by \(part.quoted)")
        }
        let members = try TemplateValue.view(mapping, .items).elements(budget)
        return try sorted(members, reversed: call.flag("reverse")) { member in
            guard case .tuple(let pair) = member else { return member }
            return try folded(pair.items[part == "key" ? 0 : 1], call)
        }
    }

    private func unique(_ value: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
        var seen: Set<TemplateKey> = []
        let items = try value.elements(budget)
        try budget.take(elements: items.count)
        return try .iterator(
            items.filter {
                seen.insert(try TemplateKey(folded(keyed($0, by: call["attribute"]), call))).inserted
            })
    }

    private func extreme(
        of value: TemplateValue, _ filter: TemplateFilter, _ call: TemplateCall
    ) throws -> TemplateValue {
        let items = try value.elements(budget)
        guard var best = items.first else { return none(of: filter) }
        var bestKey = try folded(keyed(best, by: call["attribute"]), call)
        for item in items.dropFirst() {
            let key = try folded(keyed(item, by: call["attribute"]), call)
            let order = try key.order(bestKey, filter == .max ? ">" : "<", budget)
            if order == (filter == .max ? .after : .before) { (best, bestKey) = (item, key) }
        }
        return best
    }
}
