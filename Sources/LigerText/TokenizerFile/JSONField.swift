/// A value of a file together with its place, so that whatever is wrong with it can be said precisely.
struct JSONField {
    let file: String
    let path: String
    let value: JSONValue

    /// The field with an error that says what was found here.
    func error(_ kind: TokenizerError.Kind, _ advice: String) -> TokenizerError {
        TokenizerError(kind, file: file, field: path, found: value.summary, advice: advice)
    }

    var isNull: Bool {
        if case .null = value { true } else { false }
    }

    func string() throws -> String {
        guard case .string(let value) = value else { throw error(.malformed, "a string is expected") }
        return value
    }

    func bool() throws -> Bool {
        guard case .bool(let value) = value else { throw error(.malformed, "true or false is expected") }
        return value
    }

    /// A token id: not negative and below `TokenizerFile.idLimit`.
    func id() throws -> Int32 {
        guard case .integer(let value) = value, (0..<TokenizerFile.idLimit).contains(value) else {
            throw error(.malformed, "a token id from 0 to \(TokenizerFile.idLimit - 1) is expected")
        }
        return Int32(value)
    }

    func array() throws -> [JSONField] {
        guard case .array(let values) = value else { throw error(.malformed, "an array is expected") }
        return values.enumerated().map { index, value in
            JSONField(file: file, path: "\(path)[\(index)]", value: value)
        }
    }

    /// The fields of an object, all of which must be among `known`: an unknown option may not be ignored.
    func object(known: Set<String>) throws -> JSONObject {
        guard case .object(let fields) = value else { throw error(.malformed, "an object is expected") }
        let object = JSONObject(place: self, fields: fields.dictionary)
        if let unknown = fields.keys.filter({ !known.contains($0) }).min() {
            throw object[unknown].error(
                .unsupported, "the known fields here are \(known.sorted().joined(separator: ", "))")
        }
        return object
    }

    /// The `type` of an object, which decides on its other fields.
    func type() throws -> String {
        guard case .object(let fields) = value else { throw error(.malformed, "an object is expected") }
        return try JSONObject(place: self, fields: fields.dictionary)["type"].string()
    }
}

/// An object of a file together with its place.
struct JSONObject {
    let place: JSONField
    let fields: [String: JSONValue]

    /// The field `name`; one that is absent reads as null.
    subscript(name: String) -> JSONField {
        let path = place.path.isEmpty ? name : "\(place.path).\(name)"
        return JSONField(file: place.file, path: path, value: fields[name] ?? .null)
    }

    /// True or false, or `absent` when the field is absent.
    func bool(_ name: String, absent: Bool) throws -> Bool {
        fields[name] == nil ? absent : try self[name].bool()
    }
}
