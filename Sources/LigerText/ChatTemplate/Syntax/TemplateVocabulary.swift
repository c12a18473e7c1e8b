// What templates may name: filters, tests, methods, functions, each with the arguments that it takes. A name or an argument
// that is not here is refused when the template is parsed.

/// The parameters of a filter, test, method or function.
struct TemplateSignature: Sendable {
    /// In Python's order; `required` is how many have no default.
    var parameters: [String]
    var required: Int
    /// Whether any further arguments are taken.
    var takesMore = false
    var takesNames = true

    init(_ parameters: String..., required: Int = 0, takesMore: Bool = false, takesNames: Bool = true) {
        (self.parameters, self.required) = (parameters, required)
        (self.takesMore, self.takesNames) = (takesMore, takesNames)
    }

    /// What is wrong with such a call, or nil.
    func problem(_ arguments: TemplateExpression.Arguments) -> String? {
        if takesMore { return nil }
        guard arguments.positional.count <= parameters.count else {
            return "\(arguments.positional.count) arguments where at most \(parameters.count) are taken"
        }
        let given = Set(parameters.prefix(arguments.positional.count))
        for (name, _) in arguments.named
        where !takesNames || !parameters.contains(name) || given.contains(name) {
            return "an argument \(name.quoted) that is not taken here"
        }
        let named = Set(arguments.named.map(\.name))
        let missing = parameters.prefix(required).first { !given.contains($0) && !named.contains($0) }
        return missing.map { "no argument \($0.quoted)" }
    }
}

enum TemplateFilter: String, Sendable, CaseIterable {
    case abs, attr, capitalize, count, d, `default`, dictsort, e, escape, first, float, format, indent, int
    case items, join, last, length, list, lower, map, max, min, reject, rejectattr, replace, reverse, round
    case safe, select, selectattr, sort, string, sum, title, tojson, trim, unique, upper

    var signature: TemplateSignature {
        switch self {
        case .attr: TemplateSignature("name", required: 1)
        case .d, .default: TemplateSignature("default_value", "boolean")
        case .dictsort: TemplateSignature("case_sensitive", "by", "reverse")
        case .float: TemplateSignature("default")
        case .format, .map, .select, .reject: TemplateSignature(takesMore: true)
        case .selectattr, .rejectattr: TemplateSignature("attribute", required: 1, takesMore: true)
        case .indent: TemplateSignature("width", "first", "blank")
        case .int: TemplateSignature("default", "base")
        case .join: TemplateSignature("d", "attribute")
        case .max, .min, .unique: TemplateSignature("case_sensitive", "attribute")
        case .replace: TemplateSignature("old", "new", "count", required: 2)
        case .round: TemplateSignature("precision", "method")
        case .sort: TemplateSignature("reverse", "case_sensitive", "attribute")
        case .sum: TemplateSignature("attribute", "start")
        case .tojson: TemplateSignature("ensure_ascii", "indent", "separators", "sort_keys")
        case .trim: TemplateSignature("chars")
        default: TemplateSignature()
        }
    }
}

enum TemplateTest: String, Sendable, CaseIterable {
    case boolean, callable, defined, divisibleby, eq, equalto, escaped, even, `false`, filter, float, ge,
        greaterthan, gt
    case `in`, integer, iterable, le, lessthan, lower, lt, mapping, ne, none, number, odd, sameas, sequence
    case string, test, `true`, undefined, upper
    // Only in the text of `select` and its like.
    case equal = "==", unequal = "!=", above = ">", atLeast = ">=", below = "<", atMost = "<="

    var signature: TemplateSignature {
        switch self {
        case .divisibleby: TemplateSignature("num", required: 1)
        case .in: TemplateSignature("seq", required: 1)
        case .sameas: TemplateSignature("other", required: 1)
        default:
            comparison == nil
                ? TemplateSignature() : TemplateSignature("other", required: 1, takesNames: false)
        }
    }

    var comparison: TemplateExpression.Comparison? {
        switch self {
        case .eq, .equalto, .equal: .equal
        case .ne, .unequal: .unequal
        case .gt, .greaterthan, .above: .greater
        case .ge, .atLeast: .atLeast
        case .lt, .lessthan, .below: .less
        case .le, .atMost: .atMost
        default: nil
        }
    }
}

/// Methods of strings, lists, tuples, mappings and of `loop`. A mapping's keys do not hide its methods.
enum TemplateMethod: String, Sendable, CaseIterable {
    case capitalize, center, changed, copy, count, cycle, endswith, find, format, get, index, isalnum,
        isalpha, isdecimal
    case isdigit, islower, isnumeric, isspace, istitle, isupper, items, join, keys, ljust, lower, lstrip,
        partition
    case removeprefix, removesuffix, replace, rfind, rindex, rjust, rpartition, rsplit, rstrip, split,
        splitlines
    case startswith, strip, swapcase, title, upper, values, zfill
    // Those that change their object are errors when they are called, as in transformers.
    case append, clear, extend, insert, pop, popitem, remove, setdefault, sort, update
    case reverse

    var isMutating: Bool {
        switch self {
        case .append, .clear, .extend, .insert, .pop, .popitem, .remove, .setdefault, .sort, .update,
            .reverse:
            true
        default: false
        }
    }

    var signature: TemplateSignature {
        switch self {
        case .changed, .cycle, .format: TemplateSignature(takesMore: true)
        case .center, .ljust, .rjust: TemplateSignature("width", "fillchar", required: 1, takesNames: false)
        case .count, .endswith, .find, .index, .rfind, .rindex, .startswith:
            TemplateSignature("value", "start", "end", required: 1, takesNames: false)
        case .get: TemplateSignature("key", "default", required: 1, takesNames: false)
        case .join: TemplateSignature("iterable", required: 1, takesNames: false)
        case .lstrip, .rstrip, .strip: TemplateSignature("chars", takesNames: false)
        case .partition, .rpartition: TemplateSignature("sep", required: 1, takesNames: false)
        case .removeprefix, .removesuffix: TemplateSignature("affix", required: 1, takesNames: false)
        case .replace: TemplateSignature("old", "new", "count", required: 2)
        case .rsplit, .split: TemplateSignature("sep", "maxsplit")
        case .splitlines: TemplateSignature("keepends")
        case .zfill: TemplateSignature("width", required: 1, takesNames: false)
        default: isMutating ? TemplateSignature(takesMore: true) : TemplateSignature()
        }
    }
}

/// Functions that templates call by name.
enum TemplateFunction: String, Sendable, CaseIterable {
    case dict, namespace, range
    case raiseException = "raise_exception"
    case dateNow = "strftime_now"

    var signature: TemplateSignature {
        switch self {
        case .dict, .namespace: TemplateSignature(takesMore: true)
        case .range: TemplateSignature("start", "stop", "step", required: 1, takesNames: false)
        case .raiseException: TemplateSignature("message", required: 1)
        case .dateNow: TemplateSignature("format", required: 1)
        }
    }

    /// Functions of Jinja that no template of the supported families calls.
    static let refused: Set<String> = ["cycler", "joiner", "lipsum"]
}
