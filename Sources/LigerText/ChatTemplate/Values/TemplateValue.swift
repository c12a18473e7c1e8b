/// A value while a template is rendered: what Python has, as far as templates can reach it.
///
/// Values cannot change, save namespaces and the position of an iterator, as transformers lets templates change nothing else.
enum TemplateValue {
    /// What a name or an attribute gives that does not exist. It is false, empty and prints as nothing.
    case undefined(Missing)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    /// Text from `safe` or `escape`, which escapes what is added to it.
    case markup(String)
    case list(TemplateList)
    case tuple(TemplateList)
    case mapping(TemplateMapping)
    /// What `keys`, `values` and `items` of a mapping give.
    case view(TemplateMapping, TemplateMapping.Part)
    case range(TemplateRange)
    /// What `map`, `select` and their like give: its elements can be had once.
    case iterator(TemplateIterator)
    case namespace(TemplateNamespace)
    case loop(TemplateLoop)
    case macro(TemplateMacro)
    case method(TemplateBoundMethod)
    case function(TemplateFunction)

    /// Why a value is not there.
    struct Missing {
        var name: String
        /// The type whose attribute was asked for; nil for a variable.
        var owner: String?
        /// The whole sentence, where it is no name.
        var sentence: String?

        var description: String {
            if let sentence { return sentence }
            guard let owner else { return "\(name.quoted) is undefined" }
            return "\(name.quoted) is undefined: a value of type \(owner) has no such attribute"
        }
    }

    /// The name of the type in Python.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .integer: "int"
        case .float: "float"
        case .string: "str"
        case .markup: "Markup"
        case .list: "list"
        case .tuple: "tuple"
        case .mapping: "dict"
        case .view(_, let part): "dict_\(part.rawValue)"
        case .range: "range"
        case .iterator: "generator"
        case .namespace: "Namespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .method: "method"
        case .function: "function"
        }
    }

    /// Whether an `if` takes it, by Python's rules.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let text), .markup(let text): !text.isEmpty
        case .list(let list), .tuple(let list): !list.items.isEmpty
        case .mapping(let mapping), .view(let mapping, _): !mapping.keys.isEmpty
        case .range(let range): range.count > 0
        case .loop(let loop): !loop.items.isEmpty
        case .iterator, .namespace, .macro, .method, .function: true
        }
    }

    /// How deep values are nested in this one. It is bounded, so that no walk over a value exhausts the stack.
    var depth: Int {
        switch self {
        case .list(let list), .tuple(let list): list.depth
        case .mapping(let mapping), .view(let mapping, _): mapping.depth
        case .iterator(let iterator): iterator.depth
        case .loop(let loop): loop.depth
        case .method(let method): method.receiver.depth + 1
        default: 0
        }
    }

    /// The text of a string, marked as safe or not.
    var text: String? {
        switch self {
        case .string(let text), .markup(let text): text
        default: nil
        }
    }

    /// The whole number that Python takes this for where it asks for one.
    var index: Int? {
        switch self {
        case .integer(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    static func list(_ items: [TemplateValue]) throws -> TemplateValue { .list(try TemplateList(items)) }
    static func tuple(_ items: [TemplateValue]) throws -> TemplateValue { .tuple(try TemplateList(items)) }
    static func iterator(_ items: [TemplateValue]) throws -> TemplateValue {
        .iterator(TemplateIterator(try TemplateList(items)))
    }
}

/// The elements of a list or tuple.
final class TemplateList {
    /// The deepest nesting of values.
    static let maximumDepth = 100

    let items: [TemplateValue]
    let depth: Int

    init(_ items: [TemplateValue]) throws {
        self.items = items
        depth = try Self.depth(over: items)
    }

    static func depth(over items: [TemplateValue]) throws -> Int {
        let depth = (items.lazy.map(\.depth).max() ?? 0) + 1
        guard depth <= maximumDepth else {
            throw TemplateFailure(
                .excessive, "values nested more than \(maximumDepth) deep",
                advice: "nothing that a template writes needs that; look at the messages and the template")
        }
        return depth
    }
}

/// Elements that are handed out once.
final class TemplateIterator {
    private let list: TemplateList
    private var position = 0

    init(_ list: TemplateList) { self.list = list }

    var depth: Int { list.depth }

    func next() -> TemplateValue? {
        guard position < list.items.count else { return nil }
        defer { position += 1 }
        return list.items[position]
    }

    func rest() -> [TemplateValue] {
        defer { position = list.items.count }
        return Array(list.items[position...])
    }
}

/// Whole numbers from `start` by `step`; their number is bounded as in Jinja's sandbox.
struct TemplateRange: Equatable {
    static let maximumCount = 100_000

    let start: Int
    let stop: Int
    let step: Int
    let count: Int

    init(from start: Int, to stop: Int, by step: Int) throws {
        guard step != 0 else { throw TemplateFailure.undefinedOperation("a range with a step of 0") }
        let (distance, overflow) =
            step > 0 ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
        let isEmpty = step > 0 ? stop <= start : stop >= start
        let count = isEmpty ? 0 : overflow ? .max : Int((UInt(distance) - 1) / step.magnitude) + 1
        guard count <= Self.maximumCount else {
            throw TemplateFailure(
                .excessive, "a range of more than \(Self.maximumCount) numbers", advice: "use a shorter one")
        }
        (self.start, self.stop, self.step, self.count) = (start, stop, step, count)
    }

    /// Cannot overflow: the number lies between start and stop.
    subscript(index: Int) -> Int { start + index * step }

    static func == (left: TemplateRange, right: TemplateRange) -> Bool {
        left.count == right.count
            && (left.count == 0 || left.start == right.start && (left.count == 1 || left.step == right.step))
    }
}

/// What `namespace` makes: attributes that a loop's body can set for the time after it.
final class TemplateNamespace {
    var attributes: [(name: String, value: TemplateValue)] = []

    subscript(name: String) -> TemplateValue? {
        get { attributes.first { $0.name.hasSameBytes(as: name) }?.value }
        set {
            guard let newValue else { return }
            if let index = attributes.firstIndex(where: { $0.name.hasSameBytes(as: name) }) {
                attributes[index].value = newValue
            } else {
                attributes.append((name, newValue))
            }
        }
    }
}

/// The variable `loop`.
final class TemplateLoop {
    let items: [TemplateValue]
    let depth: Int
    var index = 0
    /// What `changed` was called with last.
    var last: TemplateValue?

    init(_ items: [TemplateValue]) throws {
        self.items = items
        depth = try TemplateList.depth(over: items)
    }
}

/// A macro with the scope that it was defined in.
final class TemplateMacro {
    let definition: TemplateStatement.Macro
    let scope: TemplateScope

    init(_ definition: TemplateStatement.Macro, in scope: TemplateScope) {
        (self.definition, self.scope) = (definition, scope)
    }
}

/// A method of a value that is not called, at least not yet.
final class TemplateBoundMethod {
    let receiver: TemplateValue
    let method: TemplateMethod

    init(_ receiver: TemplateValue, _ method: TemplateMethod) {
        (self.receiver, self.method) = (receiver, method)
    }
}
