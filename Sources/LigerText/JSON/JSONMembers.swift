/// The members of a JSON object, in the order in which they were written.
///
/// Reads like a dictionary. Two are equal when they have the same members in any order, as in JSON.
package struct JSONMembers: Sendable, Hashable {
    /// Keys in order.
    package private(set) var keys: [String] = []
    /// The members without their order.
    package private(set) var dictionary: [String: JSONValue] = [:]

    package init() {}

    /// Members in the order given; a key that is given twice keeps its place and gets the later value.
    package init(_ members: some Sequence<(String, JSONValue)>) {
        for (key, value) in members { self[key] = value }
    }

    /// Members in the order of their keys.
    package init(_ members: [String: JSONValue]) {
        keys = members.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        dictionary = members
    }

    /// A new key goes to the end; nil removes a member, at the cost of a look at all keys.
    package subscript(key: String) -> JSONValue? {
        get { dictionary[key] }
        set {
            let old = dictionary.updateValue(newValue ?? .null, forKey: key)
            if newValue == nil {
                dictionary[key] = nil
                if old != nil { keys.removeAll { $0 == key } }
            } else if old == nil {
                keys.append(key)
            }
        }
    }

    package static func == (left: JSONMembers, right: JSONMembers) -> Bool {
        left.dictionary == right.dictionary
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(dictionary) }

    /// The members for which `isIncluded` holds, in order.
    package func filter(_ isIncluded: (Element) throws -> Bool) rethrows -> JSONMembers {
        JSONMembers(try lazy.map { $0 }.filter(isIncluded).map { ($0.key, $0.value) })
    }
}

extension JSONMembers: RandomAccessCollection {
    package typealias Element = (key: String, value: JSONValue)

    package var startIndex: Int { 0 }
    package var endIndex: Int { keys.count }

    package subscript(position: Int) -> Element {
        let key = keys[position]
        return (key, dictionary[key] ?? .null)
    }
}

extension JSONMembers: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}
